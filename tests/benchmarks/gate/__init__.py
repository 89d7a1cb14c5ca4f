"""How often the gate promotes one of two equal models by luck, and how often a truly better one."""
