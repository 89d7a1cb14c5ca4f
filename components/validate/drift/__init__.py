"""Comparison of two profiles: drift between windows, skew between training and serving."""
