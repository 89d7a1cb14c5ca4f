"""Validate a log before training: profile it in one pass, check expectations, measure drift, report the result."""
