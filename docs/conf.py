"""Sphinx: `make docs` builds the site into build/docs, with warnings as errors."""

import warnings

import sim2real

project = "sim2real"
author = "sim2real maintainers"
version = release = sim2real.__version__
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns: list[str] = []

# Markdown.
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}

# Docstrings: `name` is code, types come from the annotations.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
python_maximum_signature_line_length = 88
warnings.filterwarnings("ignore", category=DeprecationWarning)

# Nothing is fetched while the site is built.
html_theme = "furo"
html_title = "sim2real"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
