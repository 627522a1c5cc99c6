"""Search for the options of a recipe or of a method, with Optuna."""
