"""Delta and Iceberg tables as logs: the data files of their current version, by day."""
