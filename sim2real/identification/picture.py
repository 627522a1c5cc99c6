"""The figure of a comparison: measured and simulated readings, and how the error grows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim2real.files import write_bytes
from sim2real.identification.compare import Comparison
from sim2real.task import Array

INK, GREY, RULE, BLUE, RED = "#1a1a1a", "#6b6b6b", "#d9d9d9", "#0072b2", "#d55e00"
MOST_CHANNELS, MOST_WINDOWS = 12, 12
"""Channels that are shown, those that are missed most, and windows side by side."""
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


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


def _some(found: Comparison) -> list[int]:
    """The windows that are shown: those in sequence with the largest change."""
    count = min(MOST_WINDOWS, len(found.windows))
    used = found.channels.used
    measured = found.windows.observations[:, :, used] / found.channels.scale[used]
    size = np.abs(measured - measured[:, :1]).mean(axis=(1, 2))
    sums = np.convolve(size, np.ones(count), "valid")
    first = int(np.argmax(sums))
    return list(range(first, first + count))


def _draw_motion(axes: Axes, found: Comparison, k: int) -> None:
    column = int(np.flatnonzero(found.channels.used)[k])
    gap = 0.15 * found.horizon * found.dt
    for place, window in enumerate(_some(found)):
        start = place * (found.horizon * found.dt + gap)
        times = start + found.dt * np.arange(found.horizon + 1)
        first = place == 0
        axes.plot(
            times,
            found.windows.observations[window, :, column],
            color=INK,
            linewidth=1.6,
            label="measured" if first else None,
        )
        axes.plot(
            times,
            _finite(found.shown[window, :, column]),
            color=RED,
            linewidth=1.3,
            linestyle="--",
            label="simulated" if first else None,
        )
    _limit(axes, found.windows.observations[_some(found)][:, :, column])
    one = found.errors[k]
    unit = f" ({one.unit})" if one.unit and "," not in one.unit else ""
    axes.set_title(f"{one.name}{unit}", loc="left", fontsize=9, color=INK)
    _clean(axes)


def _finite(values: Array) -> Array:
    found: Array = np.where(np.isfinite(values), values, np.nan)
    return found


def _limit(axes: Axes, measured: Array) -> None:
    """A range of the measured values with room for what is simulated, whatever that is."""
    low, high = float(measured.min()), float(measured.max())
    room = 0.35 * max(high - low, 1e-9)
    axes.set_ylim(low - room, high + room)


def _draw_growth(axes: Axes, found: Comparison, k: int) -> None:
    growth = np.minimum(found.growth[:, k], 1.5)
    axes.axhline(1.0, color=RULE, linewidth=1)
    axes.plot(np.arange(1, found.horizon + 1), growth, color=BLUE, linewidth=1.6)
    axes.set_ylim(0, 1.55)
    axes.set_yticks([0, 0.5, 1.0], ["0", "50 %", "100 %"])
    share = found.errors[k].many_steps_share
    axes.annotate(
        f"{100 * share:.0f} %" if share < 10 else "> 1000 %",
        (1.0, 0.98),
        xycoords="axes fraction",
        ha="right",
        va="top",
        color=BLUE,
        fontsize=9,
    )
    _clean(axes)


def _clean(axes: Axes) -> None:
    axes.grid(color=RULE, linewidth=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
