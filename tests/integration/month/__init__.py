"""A month of retraining, day by day, with what goes wrong in a month: `make month`."""
