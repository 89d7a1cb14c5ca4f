"""Custom expectations of the config or of a Python file: parsing and evaluation."""
