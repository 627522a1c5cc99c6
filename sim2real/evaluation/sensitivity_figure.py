"""A figure of the return against each entry of the context, one panel an entry."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from sim2real.evaluation.figures import COLOURS, GREY, figure_style
from sim2real.evaluation.rollout import Row, by_domain
from sim2real.evaluation.sensitivity import Sensitivity, return_against_context
from sim2real.files import write_bytes

POINTS = "#9aa5b1"
COLUMNS = 4
DPI = 100


def write_sensitivity(path: Path, rows: Iterable[Row]) -> Path | None:
    """Draw the rows of an evaluation; nothing is written where nothing varied. Returns `path`."""
    found = {name: return_against_context(own) for name, own in by_domain(rows).items()}
    if not any(found.values()):
        return None
    write_bytes(path, sensitivity_png(found))
    return path


def sensitivity_png(found: Mapping[str, Sequence[Sensitivity]]) -> bytes:
    """A PNG of one block a title (a domain), one panel an entry: points, binned mean, its band.

    The binned mean is blue where the rank correlation is more than chance, else grey; the band is
    the mean's 95 % interval. All panels of a block share the axis of the return.
    """
    blocks = {title: panels for title, panels in found.items() if panels}
    rows = [-(-len(panels) // COLUMNS) for panels in blocks.values()]
    widest = min(COLUMNS, max(map(len, blocks.values())))
    height = 1.95 * sum(rows) + 0.45 * len(rows)
    with matplotlib.rc_context(cast(Any, figure_style(9))):
        figure = Figure(
            figsize=(max(2.6 * widest, 4.6) + 0.4, height), dpi=DPI, layout="constrained"
        )
        parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=rows)[:, 0]
        for part, (title, panels) in zip(parts, blocks.items(), strict=True):
            _block(part, title, panels, widest)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _block(part: SubFigure, title: str, panels: Sequence[Sensitivity], columns: int) -> None:
    rows = -(-len(panels) // columns)
    axes = part.subplots(rows, columns, sharey=True, squeeze=False)
    heading = f"{title}: {len(panels[0].values)} episodes; blue: rank correlation beyond chance"
    part.suptitle(heading, fontsize=10, x=0.01, ha="left")
    for one, place in zip(panels, axes.flat, strict=False):
        _draw(place, one)
    for place in list(axes.flat)[len(panels) :]:
        place.set_axis_off()
    for place in axes[:, 0]:
        place.set_ylabel("return")


def _draw(axes: Axes, one: Sensitivity) -> None:
    colour = COLOURS[0] if one.is_clear else GREY
    axes.scatter(one.values, one.totals, s=6, color=POINTS, alpha=0.35, linewidths=0)
    axes.fill_between(one.centres, one.lows, one.highs, color=colour, alpha=0.2, linewidth=0)
    axes.plot(one.centres, one.means, color=colour, linewidth=2, marker="o", markersize=3.5)
    name = "\n".join(textwrap.wrap(one.name, 26))
    correlation = f"{one.correlation:+.2f}".replace("-", "−")
    weight = "bold" if one.is_clear else "normal"
    axes.set_title(name, fontsize=9, loc="left")
    axes.annotate(
        correlation,
        (1.0, 1.0),
        xycoords="axes fraction",
        xytext=(-3, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        color=colour,
        fontweight=weight,
        bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
    )
    axes.grid(axis="y")
    axes.locator_params(axis="x", nbins=4)
