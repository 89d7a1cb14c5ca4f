"""Score candidate and champion on the same rows, measure both, and decide."""
