"""Files of logs: one reader a format, and the mapping from their columns to a log."""
