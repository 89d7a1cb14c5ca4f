"""A first config for somebody's log."""
