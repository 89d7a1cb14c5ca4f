"""Requests through `recap serve` beside the pyfunc in process, and promotions under load."""
