"""Sequences of events: how an event becomes a vector, and how a row reads its history."""
