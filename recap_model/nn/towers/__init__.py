"""One tower per task, on a shared bottom or on experts."""
