"""Metrics over the score table, with bootstrap errors."""
