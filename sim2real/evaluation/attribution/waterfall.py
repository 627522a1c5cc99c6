"""A waterfall from the return in the source to that in the target, as a figure and as CSV."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes

from sim2real.evaluation.attribution.attribute import Attribution
from sim2real.evaluation.figures import COLOURS, GREY, INK
from sim2real.evaluation.numbers import whole
from sim2real.evaluation.page import svg
from sim2real.files import write_text

LOSS, GAIN = COLOURS[1], COLOURS[0]
BAR_HEIGHT, WIDTH = 0.42, 7.6
"""Inches."""


class Bar(NamedTuple):
    """A bar from the return `start` to `end`; `low` and `high` are the interval of the end.

    The first bar, of the source, and the last one, of the target, start at 0.
    """

    name: str
    start: float
    end: float
    low: float
    high: float


def waterfall(found: Attribution) -> list[Bar]:
    """The source, one bar for each part, which goes on where the one before ends, the target."""
    home, away = found.source_return, found.target_return
    bars = [Bar(f"source: {found.source}", 0.0, home.value, home.low, home.high)]
    at = home.value
    for part in found.parts:
        share = part.shapley
        bars.append(Bar(part.name, at, at - share.value, at - share.high, at - share.low))
        at -= share.value
    return [*bars, Bar(f"target: {found.target}", 0.0, away.value, away.low, away.high)]


def waterfall_svg(found: Attribution) -> str:
    """The figure; each bar has its loss or gain of return beside it."""
    bars = waterfall(found)
    title = f"{found.task}: the return from {found.source} to {found.target}, by difference"
    return svg(title, lambda axes: _draw(axes, bars), (WIDTH, 0.9 + BAR_HEIGHT * len(bars)))


def write_waterfall(figure: Path, table: Path, found: Attribution) -> None:
    """Write the figure as SVG and its data as CSV."""
    write_text(figure, waterfall_svg(found) + "\n")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Bar._fields)
    writer.writerows(waterfall(found))
    write_text(table, text.getvalue())


def _draw(axes: Axes, bars: Sequence[Bar]) -> None:
    last = len(bars) - 1
    for place, bar in enumerate(bars):
        whole_bar = place in (0, last)
        colour = GREY if whole_bar else LOSS if bar.end < bar.start else GAIN
        axes.barh(place, bar.end - bar.start, left=bar.start, height=0.62, color=colour)
        axes.plot([bar.low, bar.high], [place, place], color=INK, linewidth=1)
        if place < last:
            axes.plot([bar.end, bar.end], [place, place + 1], color=GREY, linewidth=0.6)
        amount = bar.end if whole_bar else bar.end - bar.start
        sign = "" if whole_bar or amount < 0 else "+"
        beyond = max(bar.start, bar.end, bar.high)
        axes.annotate(
            f"{sign}{whole(amount)}",
            (beyond, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    labels = ["\n".join(textwrap.wrap(bar.name, 34)) for bar in bars]
    axes.set_yticks(range(len(bars)), labels)
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.axvline(0.0, color=GREY, linewidth=0.8)
    axes.set_xlabel("mean return; lines: 95 % intervals over the episodes of this policy")
