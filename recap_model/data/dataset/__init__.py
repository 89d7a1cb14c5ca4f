"""Prepared datasets: manifest, statistics, shuffled reading into batches."""
