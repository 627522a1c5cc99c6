"""The report of a study: pages, figures and text."""
