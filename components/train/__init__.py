"""Train the model on the training set."""
