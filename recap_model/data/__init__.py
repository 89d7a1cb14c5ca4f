"""Rows: columns of a log, and prepared datasets."""
