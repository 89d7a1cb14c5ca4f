"""Validating a log beside plain Great Expectations over pandas: verdicts, time and memory."""
