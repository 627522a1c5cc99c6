"""Engines other than MuJoCo, behind the same worlds."""
