"""Ways to move a policy into another domain within a budget; one file a method."""
