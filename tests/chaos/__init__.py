"""Chaos tests: disturb a step of the pipeline, run it again, and compare with a run that was left alone."""
