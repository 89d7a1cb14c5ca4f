"""A month of retraining, day by day, with faults: `make month`."""
