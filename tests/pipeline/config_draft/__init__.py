"""Tests of the config that is drafted for a log."""
