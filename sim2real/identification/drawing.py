"""Windows of a log drawn side by side: what was measured, and what worlds predict of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from sim2real.evaluation.figures import INK, RULE
from sim2real.task import Array

GAP = 0.15
"""Distance of two windows, as a share of their length."""
ROOM = 0.35
"""Room above and below what was measured, as a share of its range."""


@dataclass(frozen=True)
class Line:
    """What one world predicts of a channel in w windows: `values` (w, rows)."""

    label: str
    values: Array
    colour: str
    width: float = 1.3
    style: str = "--"


def busiest(measured: Array, count: int) -> slice:
    """The `count` windows in sequence with the largest change; `measured` is (w, rows, k)."""
    count = min(count, len(measured))
    size = np.abs(measured - measured[:, :1]).mean(axis=(1, 2))
    first = int(np.argmax(np.convolve(size, np.ones(count), "valid")))
    return slice(first, first + count)


def draw_windows(
    axes: Axes, measured: Array, lines: Sequence[Line], dt: float, noise: float = 0.0
) -> None:
    """Draw `measured` (w, rows) and the `lines` of the same windows, with the band of the noise.

    The range is that of what was measured, with some room: a prediction may go anywhere.
    """
    length = (measured.shape[1] - 1) * dt
    for place, row in enumerate(measured):
        times = place * (1 + GAP) * length + dt * np.arange(len(row))
        band = row - noise, row + noise
        axes.fill_between(times, *band, color=INK, alpha=0.14, linewidth=0)
        first = place == 0
        axes.plot(times, row, color=INK, linewidth=1.6, label="measured" if first else None)
        for one in lines:
            axes.plot(
                times,
                np.where(np.isfinite(one.values[place]), one.values[place], np.nan),
                color=one.colour,
                linewidth=one.width,
                linestyle=one.style,
                label=one.label if first else None,
            )
    low, high = float(measured.min()), float(measured.max())
    room = ROOM * max(high - low, 1e-9)
    axes.set_ylim(low - room, high + room)
    plain_axes(axes)


def plain_axes(axes: Axes) -> None:
    """A light grid, and no frame above and at the right."""
    axes.grid(color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
