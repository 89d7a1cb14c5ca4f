"""Prepare training, calibration and test sets from the log: deduplicate, rectify, split, sample, shuffle."""
