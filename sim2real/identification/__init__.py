"""Identify a target from logs: which world of a family moves as the log does."""
