"""Domain and model to plan: names, ranges and entries are checked and bound."""
