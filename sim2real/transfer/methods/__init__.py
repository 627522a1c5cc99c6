"""The transfer methods that are shipped, one file each."""
