"""Networks, recipes and pretrained policies."""

ALGORITHMS = ("ppo", "sac", "td3")
"""The algorithms that have a recipe."""
