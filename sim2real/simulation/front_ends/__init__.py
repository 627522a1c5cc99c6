"""Gymnasium, vector and SB3 environments, and wrappers of foreign environments."""
