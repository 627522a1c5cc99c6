"""The common parts of all report pages: their look, numbers as text, and vector drawings."""

from __future__ import annotations

import functools
import html
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim2real.evaluation.figures import figure_style
from sim2real.evaluation.numbers import digits, duration, number, percent, whole

SHARED = Path(__file__).parent / "templates"


Draw = Callable[[Axes], None]
"""A function that draws on one set of axes."""


def svg(title: str, draw: Draw, size: tuple[float, float] = (7.6, 3.9)) -> str:
    """The drawing of `draw` on one set of axes, as an SVG element, equal for an equal drawing."""
    style = {"svg.fonttype": "none", "svg.hashsalt": title}
    drawn = _saved(draw, size, style, format="svg", transparent=True, metadata={"Date": None})
    text, label = drawn.decode(), html.escape(title)
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def png(draw: Draw, size: tuple[float, float] = (7.6, 3.9)) -> bytes:
    """The same as the bytes of a PNG file."""
    return _saved(draw, size, {}, format="png", dpi=100)


def _saved(draw: Draw, size: tuple[float, float], style: dict[str, Any], **options: Any) -> bytes:
    settings: Any = {**figure_style(10.5), **style}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def render(
    templates: Path, template: str, filters: Mapping[str, Callable[..., Any]], data: dict[str, Any]
) -> str:
    """A template of the folder `templates`, filled in; HTML is escaped.

    `base.html` is that of all pages. The `filters` are added to those of numbers.
    """
    environment = _environment(templates, template.endswith(".html"))
    environment.filters |= filters
    return environment.get_template(template).render(**data)


@functools.cache
def _environment(templates: Path, escaped: bool) -> jinja2.Environment:
    """The environment with the templates of a folder, and the filters for numbers."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, SHARED]),
        autoescape=escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "digits": digits,
        "duration": duration,
        "number": number,
        "percent": percent,
        "whole": whole,
    }
    return environment
