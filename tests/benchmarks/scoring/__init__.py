"""Speed of scoring: files of rows, and requests."""
