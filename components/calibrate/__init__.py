"""Fit each task's calibrator on held-out rows."""
