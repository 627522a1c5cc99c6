"""The figure of a comparison: measured and simulated readings, and how the error grows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim2real.evaluation.figures import COLOURS, GREY, INK, RULE, figure_style
from sim2real.files import write_bytes
from sim2real.identification.compare import Comparison
from sim2real.identification.drawing import Line, busiest, draw_windows, plain_axes

MOST_CHANNELS, MOST_WINDOWS = 12, 12
"""Channels that are shown, those that are missed most, and windows side by side."""
_STYLE: Any = figure_style(9.0)


def write_picture(path: Path, found: Comparison) -> None:
    """Write `found` as a PNG: a row of two panels for each channel, the worst first."""
    order = np.argsort([-one.many_steps_share for one in found.errors])[:MOST_CHANNELS]
    rows = len(order)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(11.0, 1.55 * rows + 1.3), layout="constrained", dpi=110)
        figure.suptitle(_title(found), fontsize=11)
        panels = figure.subplots(
            rows, 2, squeeze=False, width_ratios=[3.2, 1], sharex="col", sharey=False
        )
        for (left, right), k in zip(panels, order.tolist(), strict=True):
            _draw_motion(left, found, k)
            _draw_growth(right, found, k)
        panels[0][0].legend(loc="upper right", ncols=2, frameon=False, fontsize=8)
        panels[0][1].set_title("error as a share of the change", fontsize=9, color=GREY)
        panels[-1][0].set_xlabel(f"time in windows of {found.horizon} steps (s)")
        panels[-1][1].set_xlabel("steps predicted")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def _title(found: Comparison) -> str:
    more = len(found.errors) - MOST_CHANNELS
    shown = f" (the {MOST_CHANNELS} worst of {len(found.errors)} channels)" if more > 0 else ""
    return f"Measured against simulated: {found.task} in {found.domain}{shown}\n{found.sentence}"


def _some(found: Comparison) -> slice:
    """The windows that are shown: those in sequence with the largest change."""
    used = found.channels.used
    scaled = found.windows.observations[:, :, used] / found.channels.scale[used]
    return busiest(scaled, MOST_WINDOWS)


def _draw_motion(axes: Axes, found: Comparison, k: int) -> None:
    column, some = int(np.flatnonzero(found.channels.used)[k]), _some(found)
    simulated = Line("simulated", found.shown[some, :, column], COLOURS[1])
    draw_windows(axes, found.windows.observations[some, :, column], [simulated], found.dt)
    one = found.errors[k]
    unit = f" ({one.unit})" if one.unit else ""
    axes.set_title(f"{one.name}{unit}", loc="left", fontsize=9, color=INK)


def _draw_growth(axes: Axes, found: Comparison, k: int) -> None:
    growth = np.minimum(found.growth[:, k], 1.5)
    axes.axhline(1.0, color=RULE, linewidth=1)
    axes.plot(np.arange(1, found.horizon + 1), growth, color=COLOURS[0], linewidth=1.6)
    axes.set_ylim(0, 1.55)
    axes.set_yticks([0, 0.5, 1.0], ["0", "50 %", "100 %"])
    share = found.errors[k].many_steps_share
    axes.annotate(
        f"{100 * share:.0f} %" if share < 10 else "> 1000 %",
        (1.0, 0.98),
        xycoords="axes fraction",
        ha="right",
        va="top",
        color=COLOURS[0],
        fontsize=9,
    )
    plain_axes(axes)
