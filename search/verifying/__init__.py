"""Checks a run directory against its own journal; nothing is loaded as code."""
