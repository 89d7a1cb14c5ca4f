"""Clean up after a run and report how it ended."""
