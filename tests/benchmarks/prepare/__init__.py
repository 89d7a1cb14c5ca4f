"""Rows per second and peak memory of the prepare step, for logs of growing length."""
