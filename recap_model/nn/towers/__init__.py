"""One tower a task, on a shared bottom or on experts."""
