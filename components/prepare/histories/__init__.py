"""Histories of `features.derived_sequences`: the earlier events of each impression's user, joined by an exchange."""
