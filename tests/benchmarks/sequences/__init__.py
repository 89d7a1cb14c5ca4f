"""What reading a history costs, in training and for a request."""
