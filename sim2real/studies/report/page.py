"""What the report pages share: templates, colours and vector drawings."""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim2real.evaluation.figures import figure_style
from sim2real.studies.report.formats import (
    SCRATCH,
    bounds_text,
    budget_text,
    budgets_text,
    cell,
    column,
    differences,
    duration,
    label,
    number,
    percent,
    scale,
    scores,
    text,
    whole,
)


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


def render(template: str, **data: Any) -> str:
    """A template of this package, filled in; HTML is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "whole": whole,
        "percent": percent,
        "text": text,
        "bounds": bounds_text,
        "budget": budget_text,
        "budgets": budgets_text,
        "cell": cell,
        "scale": scale,
        "column": column,
        "differences": differences,
        "scores": scores,
        "label": label,
        "duration": duration,
    }
    return environment.get_template(template).render(scratch=SCRATCH, **data)
