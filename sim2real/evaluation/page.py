"""What all report pages share: their look, numbers as text, and vector drawings."""

from __future__ import annotations

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


def svg(title: str, draw: Callable[[Axes], None], size: tuple[float, float] = (7.6, 3.9)) -> str:
    """What `draw` draws on one set of axes, as an SVG element; the same for the same drawing."""
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,
        **figure_style(10.5),
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    label = html.escape(title)
    return drawn[drawn.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def render(
    templates: Path, template: str, filters: Mapping[str, Callable[..., Any]], data: dict[str, Any]
) -> str:
    """A template of the folder `templates`, filled in; HTML is escaped.

    `base.html` is that of all pages. The `filters` are added to those of numbers.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([templates, SHARED]),
        autoescape=template.endswith(".html"),
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
        **filters,
    }
    return environment.get_template(template).render(**data)
