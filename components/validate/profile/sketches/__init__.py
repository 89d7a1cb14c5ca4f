"""Mergeable summaries of bounded size."""
