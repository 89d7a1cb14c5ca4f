"""Metrics, bootstrap and memory of evaluate on millions of simulated rows, beside scikit-learn's."""
