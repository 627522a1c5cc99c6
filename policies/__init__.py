"""Networks, recipes and pretrained policies."""
