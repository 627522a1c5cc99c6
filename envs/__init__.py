"""Tasks: one <name>.py, its model <name>.xml where it is ours, its domains <name>.yaml."""
