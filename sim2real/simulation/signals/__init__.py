"""Imperfections of actuation and sensing at run time."""
