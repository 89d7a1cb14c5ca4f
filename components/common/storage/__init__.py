"""Parquet files and datasets on any filesystem: listing, reading, retries, hashing."""
