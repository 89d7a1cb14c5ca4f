"""Terminal output of commands (text, tables, progress, errors), and validation of their arguments."""
