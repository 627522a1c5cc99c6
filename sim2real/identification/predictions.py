"""What a world predicts of the windows of a log, and how far off that is."""

from __future__ import annotations

import numpy as np

from sim2real.identification.replay import Replay, Windows
from sim2real.identification.windows import Channels
from sim2real.task import Array


def predictions(replay: Replay, windows: Windows) -> Array:
    """The readings of a replay of every window, (w, steps + 1, k), in the nominal context."""
    count = len(windows)
    shares = np.tile(replay.family.nominal, (count, 1))
    offsets = np.zeros((count, 2 * replay.model.nv))
    return replay.run(shares, windows, np.arange(count), offsets)


def errors(windows: Windows, shown: Array, channels: Channels) -> tuple[Array, Array]:
    """Median absolute errors, and median changes since the start, (steps + 1, channels used).

    A replay that is not stable counts as infinitely wrong.
    """
    used = channels.used
    measured = windows.observations[:, :, used]
    missed = np.abs(measured - shown[:, :, used])
    missed = np.where(np.isfinite(missed), missed, np.inf)
    changed = np.abs(measured - measured[:, :1])
    return np.median(missed, axis=0), np.median(changed, axis=0)


def relative(missed: Array, changed: Array, floor: Array) -> Array:
    """Errors as shares of the changes, same shape; changes count as at least the `floor` (k,)."""
    shares: Array = missed / np.maximum(changed, np.maximum(floor, 1e-12))
    return shares
