"""Statistics of the training rows, as mergeable states and in bounded memory."""
