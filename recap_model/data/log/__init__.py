"""Columns of a log as the arrays of a model's groups."""
