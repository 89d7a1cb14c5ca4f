"""How fast a training set becomes a trained model, beside plain loops and other libraries."""
