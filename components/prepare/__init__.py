"""Training, calibration and test sets out of the log: rectified, split, sampled, shuffled."""
