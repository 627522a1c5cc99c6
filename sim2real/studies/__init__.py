"""Tables of runs, methods x targets x seeds, with one report."""
