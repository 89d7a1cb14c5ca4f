"""Formats that steps hand to each other, each with its reader."""
