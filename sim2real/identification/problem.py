"""What is fitted: windows of a log, replayed in worlds of a family."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np

from sim2real.identification.replay import Replay, Windows, differences
from sim2real.identification.states import PROBE, linearized
from sim2real.identification.windows import Channels
from sim2real.task import Array, IntArray

STATE_STEP = 1e-3
"""Finite difference of a coordinate of the state, in m, rad, m/s or rad/s."""
GRAIN = 0.2
"""Change of a slope with the size of the step, as a share, from which a sensor counts in steps."""
COARSE, COARSE_POSITION, COARSE_SPEED = 5.0, 0.03, 0.3
"""Where a sensor counts in steps: factor of the finite differences of shares, and differences of a
position, in m or rad, and a velocity, in m/s or rad/s."""
LOST = 1e3
"""Residual, in units of the scale, of a replay that is not stable."""


@dataclass(frozen=True)
class Fit:
    """Shares (d,) and offsets of the start states (w, 2 nv), with what they leave unexplained.

    `residuals` (w, rows, k), in units of the channels' scale; `noise` (rows, k), in the same units;
    `cost`, the robust negative log-likelihood with the prior. `directions` (d, d) are those of the
    next finite differences, one a column; None: along the coordinates.
    """

    shares: Array
    offsets: Array
    residuals: Array
    noise: Array
    cost: float
    directions: Array | None = None

    def of_first(self, count: int) -> Fit:
        """The states and residuals of the first windows alone; the rest is that of all."""
        return dataclasses.replace(
            self, offsets=self.offsets[:count], residuals=self.residuals[:count]
        )


@dataclass(frozen=True)
class Problem:
    """What is fitted: windows of a log, replayed in worlds of a family."""

    replay: Replay
    windows: Windows
    channels: Channels

    def residuals(self, shares: Array, choice: IntArray, offsets: Array) -> Array:
        """Readings of the log minus those of m replays, in units of the scale, (m, rows, k).

        The k columns are the channels that are used. What does not follow from the state at once,
        such as a difference between two readings, is 0 in the first row.
        """
        shown = self.replay.run(shares, self.windows, choice, offsets)
        used = self.channels.used
        gap = (self.windows.observations[choice][:, :, used] - shown[:, :, used]) / (
            self.channels.scale[used]
        )
        gap[:, 0] *= self.shown
        return np.where(np.isfinite(gap), gap, LOST)

    def subset(self, rows: IntArray) -> Problem:
        """The problem of some of the windows."""
        return dataclasses.replace(self, windows=self.windows.take(rows))

    def ends_before(self, fit: Fit) -> Array:
        """Offsets (w, 2 nv) that start each window in the state in which the window before it ends.

        The offset of the fit, if the window before is not in the problem or becomes unstable.
        """
        windows = self.windows
        row_of = {first: row for row, first in enumerate(windows.first.tolist())}
        before = np.array([row_of.get(one, -1) for one in (windows.first - windows.steps).tolist()])
        each, replay = np.arange(len(windows)), self.replay
        rows = np.tile(fit.shares, (len(windows), 1))
        ends = replay.run(rows, windows, each, fit.offsets, replay.states)[:, -1]
        qpos, qvel = np.split(ends, [replay.model.nq], axis=1)
        moved = differences(replay.model, windows.qpos, qpos[before])
        found = np.concatenate([moved, qvel[before] - windows.qvel], axis=1)
        known = (before >= 0) & np.isfinite(found).all(axis=1)
        return np.where(known[:, None], found, fit.offsets)

    @functools.cached_property
    def shown(self) -> Array:
        """The channels whose first reading follows from the state, (k,) of 1 or 0."""
        shows: Array = (np.abs(self._slopes).max(axis=(0, 2)) > 0).astype(np.float64)
        return shows

    @functools.cached_property
    def state_steps(self) -> Array:
        """Finite differences of the coordinates of the start state, (2 nv,).

        Where a sensor shows something in steps, as an encoder does, they are larger.
        """
        size = 2 * self.replay.model.nv
        if not self.in_steps:
            return np.full(size, STATE_STEP)
        return np.repeat([COARSE_POSITION, COARSE_SPEED], size // 2)

    @functools.cached_property
    def in_steps(self) -> bool:
        """Whether a sensor shows a coordinate in steps, as an encoder does."""
        fine = self._slopes_at(STATE_STEP)
        apart = np.linalg.norm(self._slopes - fine, axis=(0, 1))
        size = np.linalg.norm(self._slopes, axis=(0, 1))
        return bool((apart > GRAIN * size).any())

    @functools.cached_property
    def share_steps(self) -> Array:
        """Finite differences of the shares, (d,)."""
        family = self.replay.family
        coarse = COARSE if self.in_steps else 1.0
        return family.differences * np.where(family.is_delay, 1.0, coarse)

    def aligned(self, shares: Array, choice: IntArray) -> Array:
        """Offsets of the states (m, 2 nv) from which m worlds show the first readings of windows.

        They are not 0 where a sensor has a bias or a scale of its own in the world.
        """
        size = 2 * self.replay.model.nv
        if not self.replay.family.domain.sensing:
            return np.zeros((len(choice), size))
        nothing = np.zeros((len(choice), size))
        first = self.windows.first_rows()
        shown = self.replay.run(shares, first, choice, nothing)[:, 0]
        used = self.channels.used
        gap = (first.observations[choice, 0] - shown)[:, used] / self.channels.scale[used]
        offsets: Array = np.einsum("msk,mk->ms", self._gains[choice], gap * self.shown)
        return offsets

    @functools.cached_property
    def _gains(self) -> Array:
        """What the states change for the first readings, (w, 2 nv, k)."""
        gains: Array = np.asarray(
            np.linalg.pinv(self._slopes * self.shown[:, None], rcond=1e-4), dtype=np.float64
        )
        return gains

    @functools.cached_property
    def _slopes(self) -> Array:
        """Of the first readings by the states, in units of the scale, (w, k, 2 nv)."""
        return self._slopes_at(PROBE)

    def _slopes_at(self, step: float) -> Array:
        windows, used = self.windows, self.channels.used
        memory = windows.memory_at(windows.before)
        slopes = linearized(self.replay, windows.qpos, windows.qvel, memory, step)[1]
        found: Array = slopes[:, used] / self.channels.scale[used][:, None]
        return found
