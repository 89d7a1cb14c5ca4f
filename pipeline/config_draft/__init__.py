"""Draft a first config for a log."""
