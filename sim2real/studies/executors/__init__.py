"""Where the cells of a study run: in this process, on processes of this machine, on a cluster."""
