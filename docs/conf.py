"""Sphinx: `pip install -e .[docs]`, then `sphinx-build docs build/docs`."""

project = "sim2real"
author = "sim2real maintainers"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "sim2real"
