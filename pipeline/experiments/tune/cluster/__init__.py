"""A study as a pipeline on a cluster."""
