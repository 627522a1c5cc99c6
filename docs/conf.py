"""Sphinx: `make docs` builds the site into build/docs, with warnings as errors."""

import inspect
import warnings
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import sim2real
from sim2real.domains.entries.kinds import ACTUATION, DISTURBANCES, SENSING
from sim2real.domains.entries.stage import Kind

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


KINDS = {"actuation": ACTUATION, "sensing": SENSING, "disturbances": DISTURBANCES}


class Kinds(SphinxDirective):
    """`{kinds} sensing`: the kinds of entries of a section, a row of a table each."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table, from the kinds' attributes and the first paragraphs of their docstrings."""
        rows = ["| kind | magnitude | drawn | what it does |", "|---|---|---|---|"]
        rows += [row(kind) for kind in KINDS[self.arguments[0]].values()]
        block: Any = nodes.container()
        self.state.nested_parse(StringList(rows, source=self.env.docname), 0, block)
        return list(block.children)


def row(kind: type[Kind]) -> str:
    """A row of the table of kinds, as Markdown."""
    about = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    return f"| `{kind.name}` | {magnitude(kind)} | {drawn(kind)} | {about} |"


def magnitude(kind: type[Kind]) -> str:
    """The magnitudes that a kind may have, with their unit."""
    allowed = f"{'above' if kind.open_low else 'at least'} {kind.low:g}"
    if kind.low == -float("inf"):
        allowed = "any"
    elif kind.high < float("inf"):
        allowed = f"{kind.low:g} to {kind.high:g}"
    return f"{allowed} {kind.unit}".strip()


def drawn(kind: type[Kind]) -> str:
    """When a kind is drawn: once an episode, for what, and in each control step."""
    if kind.drawn == "step":
        return "each step"
    number = ", each number" if kind.each == "number" else ""
    return f"episode{number}{', and each step' if kind.random is not None else ''}"


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("kinds", Kinds)
