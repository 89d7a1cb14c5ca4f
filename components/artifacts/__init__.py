"""Formats that steps hand to each other, and how a step starts and ends. Small."""
