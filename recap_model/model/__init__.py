"""The ranking model, its tasks and its loss."""
