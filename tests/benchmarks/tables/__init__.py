"""Large tables in two processes."""
