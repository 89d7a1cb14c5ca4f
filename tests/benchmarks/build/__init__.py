"""Rows per second and peak memory of the build step, for logs of growing length."""
