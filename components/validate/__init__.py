"""Is the log fit to train on? A profile in one pass, expectations on it, a verdict a person can read."""
