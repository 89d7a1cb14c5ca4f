"""Time, memory and fit of calibration on simulated logits, beside scikit-learn's."""
