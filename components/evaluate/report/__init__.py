"""The evaluation report as an HTML page."""
