"""Disturbances at run time."""
