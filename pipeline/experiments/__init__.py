"""Experiments: train several configs on one prepared set and compare them, without registering anything."""
