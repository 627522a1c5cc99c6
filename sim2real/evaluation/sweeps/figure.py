"""A sweep as a figure: curves with intervals, or heat maps; the safe sets of all policies."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim2real.evaluation.figures import COLOURS, GREY, INK, figure_style
from sim2real.evaluation.page import svg
from sim2real.evaluation.sweeps.sweep import Curve, Sweep, safe_ranges
from sim2real.files import write_text

PANEL = (3.4, 3.0)
"""Inches of a heat map."""


def write_sweep(figure: Path, table: Path, found: Sweep, threshold: float | None) -> None:
    """Write the figure as SVG and its data as CSV."""
    write_text(figure, sweep_svg(found, threshold) + "\n")
    records = found.records(threshold)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_text(table, text.getvalue())


def sweep_svg(found: Sweep, threshold: float | None = None) -> str:
    """Curves of one parameter, or a heat map a policy of two; with the safe sets, if any."""
    if len(found.axes) == 1:
        title = f"{found.task} in {found.domain}: {found.measure} against {found.axes[0].name}"
        return svg(title, lambda axes: _curves(axes, found, threshold))
    return _heat_maps(found, threshold)


def _curves(axes: Axes, found: Sweep, threshold: float | None) -> None:
    values = found.axes[0].values
    for place, curve in enumerate(found.curves):
        colour = COLOURS[place % len(COLOURS)]
        axes.fill_between(values, curve.lows, curve.highs, color=colour, alpha=0.2, linewidth=0)
        axes.plot(values, curve.means, color=colour, marker="o", markersize=3, label=curve.policy)
        if threshold is not None:
            _safe_bars(axes, values, curve, threshold, place, colour)
    if threshold is not None:
        axes.axhline(threshold, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_xlabel(found.axes[0].name)
    axes.set_ylabel(f"mean {found.measure}, 95 % interval")
    axes.grid(axis="y")
    axes.legend(frameon=False)


def _safe_bars(
    axes: Axes, values: Sequence[float], curve: Curve, threshold: float, place: int, colour: str
) -> None:
    """Bars below the curves where a policy is safe."""
    for first, last in safe_ranges(values, curve.verdicts(threshold)):
        axes.plot(
            [first, last],
            [-0.02 - 0.025 * place] * 2,
            color=colour,
            linewidth=4,
            solid_capstyle="butt" if last > first else "round",
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )


def _heat_maps(found: Sweep, threshold: float | None) -> str:
    across, up = found.axes[1], found.axes[0]
    shape = (len(up.values), len(across.values))
    grids = [curve.means.reshape(shape) for curve in found.curves]
    count = len(grids) + (threshold is not None)
    low, high = np.nanmin(grids), np.nanmax(grids)
    title = f"{found.task} in {found.domain}: {found.measure} against {up.name} and {across.name}"
    style = {**figure_style(9.5), "svg.fonttype": "none", "svg.hashsalt": title}
    with matplotlib.rc_context(cast(Any, style)):
        figure = Figure(figsize=(PANEL[0] * count + 0.8, PANEL[1]), layout="constrained")
        panels = figure.subplots(1, count, squeeze=False, sharey=True)[0]
        for panel, curve, grid in zip(panels, found.curves, grids, strict=False):
            mesh = panel.pcolormesh(
                across.values, up.values, grid, vmin=low, vmax=high, shading="nearest"
            )
            mesh.set_rasterized(True)
            panel.set_title(curve.policy, fontsize=9.5)
            panel.set_xlabel(across.name)
        panels[0].set_ylabel(up.name)
        figure.colorbar(mesh, ax=panels[: len(grids)].tolist(), label=f"mean {found.measure}")
        if threshold is not None:
            _safe_sets(panels[-1], found, threshold)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue().decode()
    return text[text.index("<svg") :]


def _safe_sets(axes: Axes, found: Sweep, threshold: float) -> None:
    """The safe points of all policies over each other, a marker each."""
    points = np.array(found.points)
    axes.scatter(points[:, 1], points[:, 0], s=4, color=GREY, alpha=0.4, linewidths=0)
    for place, curve in enumerate(found.curves):
        safe = np.array([one == "safe" for one in curve.verdicts(threshold)])
        axes.scatter(
            points[safe, 1],
            points[safe, 0],
            s=18 + 40 * place,
            facecolors="none",
            edgecolors=COLOURS[place % len(COLOURS)],
            linewidths=1.4,
            label=curve.policy,
        )
    axes.set_title(f"safe: {found.measure} above {threshold:g}", fontsize=9.5, color=INK)
    axes.set_xlabel(found.axes[1].name)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
