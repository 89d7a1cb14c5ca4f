"""How fast a training set is read, beside pyarrow alone."""
