"""Scores of candidate and champion on the test set."""
