"""Rules that a profile is held to, and what judges them."""
