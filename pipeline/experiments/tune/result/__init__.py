"""The result of a study: the best trial, its config as an edited text, and the page."""
