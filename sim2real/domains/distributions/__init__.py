"""Distributions of one number, and how draws depend on each other."""
