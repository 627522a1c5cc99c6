"""What the report pages share: templates, numbers as text, colours and vector drawings."""

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

from sim2real.evaluation.statistics import FEWEST

INK, GREY, RULE = "#1a1a1a", "#5b5b5b", "#d9d9d9"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#117733", "#882255")
"""Told apart with every common kind of colour blindness; after Okabe & Ito (2008) and P. Tol."""
MARKERS = "osD^vPX"
SCRATCH = "scratch"


def svg(title: str, draw: Callable[[Axes], None], size: tuple[float, float] = (7.6, 3.9)) -> str:
    """What `draw` draws on one set of axes, as an SVG element; the same for the same drawing."""
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,
        "font.family": "sans-serif",
        "font.size": 10.5,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": GREY,
        "ytick.color": GREY,
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
        "range": interval,
        "percents": percents,
        "wholes": wholes,
        "label": label,
    }
    return environment.get_template(template).render(scratch=SCRATCH, **data)


def interval_notes(seeds: int, comparisons: int) -> list[str]:
    """What a reader of a report of so many seeds and comparisons must know, a sentence each."""
    if seeds == 1:
        return [
            "There is one seed only: the intervals are those of its episodes and speak of this "
            f"policy alone, not of the method. A verdict needs {FEWEST} seeds."
        ]
    if seeds < FEWEST:
        return [f"There are {seeds} seeds: an interval, and a verdict, needs {FEWEST}."]
    notes = [
        f"Each value is the mean over {seeds} seeds, the dots are the seeds, and the interval "
        "holds the mean over all seeds in 95 % of studies: Student's t across the seeds, widened "
        "where they are skewed. Differences are paired by seed."
    ]
    if not comparisons:
        return notes
    return [
        *notes,
        f"“Better” and “worse” are corrected for the {comparisons} comparison"
        f"{'s' if comparisons > 1 else ''} of this report (Holm): the chance of any false one is "
        "at most 5 %. “Undecided” is what these seeds cannot tell, not that there is no "
        "difference.",
    ]


def label(name: str) -> str:
    """A method's name as it is shown."""
    return "from scratch" if name == SCRATCH else name.replace("_", "-")


def number(value: float | None) -> str:
    """Two digits; a dash for none."""
    return "–" if value is None else _minus(f"{value:.2f}")


def whole(value: float | None) -> str:
    """A whole number; a dash for none."""
    return "–" if value is None else _minus(f"{value:,.0f}")


def percent(value: float | None) -> str:
    """A share as a percentage; a dash for none."""
    return "–" if value is None else f"{_minus(f'{100 * value:.0f}')} %"


def _minus(number: str) -> str:
    """With a minus sign, which what is rounded to zero has not."""
    digits = number.removeprefix("-")
    return f"−{digits}" if number != digits and digits.strip("0.,") else digits


def interval(found: Mapping[str, Any]) -> str:
    """An interval as a range of numbers."""
    if found["low"] is None:
        return str(found["why"])
    return f"{number(found['low'])} to {number(found['high'])}"


def percents(found: Mapping[str, Any]) -> str:
    """An interval as a range of percentages."""
    if found["low"] is None:
        return str(found["why"])
    return f"{percent(found['low'])} to {percent(found['high'])}"


def wholes(found: Mapping[str, Any]) -> str:
    """An interval as a range of whole numbers."""
    if found["low"] is None:
        return str(found["why"])
    return f"{whole(found['low'])} to {whole(found['high'])}"
