"""Recipes, run folders, checkpoints and the training loop."""
