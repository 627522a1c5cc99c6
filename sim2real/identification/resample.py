"""A log of any rate at the control step of a task, with the error that this adds."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from sim2real.errors import UserError
from sim2real.identification.log import EVEN, Log
from sim2real.task import Array, IntArray

COARSEST, FINEST = 2.0, 1e-2
"""Typical steps of a log that is resampled, in control steps."""
GAP = 3.5
"""Steps that are this many times as long as the typical one are gaps: an episode ends there."""
FEWEST = 3
"""Rows of an episode that is resampled, at least."""


@dataclass(frozen=True)
class Resampled:
    """A log at an even rate, and what that cost.

    `step_s` is the typical step of the rows of the original, `jitter` the 90th percentile of the
    differences from it, as a share; `gaps` is how many there were. `error` is the root mean square
    error of each term, in its unit: how well every other row is predicted from the rest, which is
    an upper estimate, as those are twice as far apart and noise counts, too. `relative` is the same
    in units of the change in a control step. `within` is how much each actuator's command varies
    within a control step, as a share of how much it varies in all.
    """

    log: Log
    step_s: float
    jitter: float
    gaps: int
    error: Mapping[str, float]
    relative: Mapping[str, float]
    within: Mapping[str, float]

    @property
    def changed(self) -> bool:
        """Whether the log was resampled; an even one is as it was."""
        return bool(self.error)

    @property
    def sentence(self) -> str:
        """What was done, in one line; empty for an even log."""
        if not self.changed:
            return ""
        worst = max(self.relative, key=lambda name: self.relative[name])
        gaps = f", cut at {self.gaps} gaps" if self.gaps else ""
        return (
            f"resampled: a row every {self.step_s * 1e3:.4g} ms, jitter {self.jitter:.0%}, to "
            f"{self.log.control_dt * 1e3:.4g} ms{gaps}; interpolation error at most "
            f"{self.relative[worst]:.1%} of a step's change ({worst}), commands vary by "
            f"{max(self.within.values()):.1%} within a step"
        )


def resample(log: Log, dt: float, held: Collection[str] = ()) -> Resampled:
    """The log with a row every `dt` s: as it is if it is even, otherwise interpolated.

    Observations are interpolated by monotone cubics; those `held` are the last value given. A
    command is the mean of what was commanded in a control step. Episodes are cut at gaps; parts
    too short for two rows are left out. Raises UserError for a log whose rows are too far apart,
    or so close that its clock must be in another unit.
    """
    steps = np.concatenate([np.diff(log.times[rows]) for rows in log.episodes])
    typical = float(np.median(steps))
    jitter = float(np.quantile(np.abs(steps / typical - 1), 0.9))
    if np.abs(steps - dt).max() <= EVEN * dt:
        return Resampled(log, typical, jitter, 0, {}, {}, {})
    _check(typical, dt)
    pieces = _pieces(log, GAP * max(typical, dt), dt)
    parts = [_part(log, rows, dt, held) for rows, _ in pieces]
    even = Log(
        times=np.concatenate([part.times for part in parts]),
        commands=np.concatenate([part.commands for part in parts]),
        actuators=log.actuators,
        observations=_joined([part.observations for part in parts]),
        control_dt=dt,
        starts=np.cumsum([0, *(len(part.times) for part in parts[:-1])]),
        terminated=np.array([ended for _, ended in pieces]),
        units=log.units,
        extras=_joined([part.extras for part in parts]),
    )
    gaps = int((steps > GAP * max(typical, dt)).sum())
    error = {name: _error(log, values, pieces) for name, values in log.observations.items()}
    relative = {name: _over(error[name], _change(even, name)) for name in error}
    spread = np.sqrt(np.mean(np.concatenate([part.within for part in parts]), axis=0))
    within = {
        name: _over(float(spread[k]), float(np.std(log.commands[:, k])))
        for k, name in enumerate(log.actuators)
    }
    return Resampled(even, typical, jitter, gaps, error, relative, within)


def _check(typical: float, dt: float) -> None:
    if not FINEST * dt <= typical <= COARSEST * dt:
        raise UserError(
            f"the log has a row every {typical * 1e3:.4g} ms; the control step of the task is "
            f"{dt * 1e3:.4g} ms; allowed: {FINEST * dt * 1e3:.3g} to {COARSEST * dt * 1e3:.4g} ms; "
            "check the unit of the times, or record at the rate of the controller"
        )


def _pieces(log: Log, gap: float, dt: float) -> list[tuple[slice, bool]]:
    """The rows of each episode between gaps, and whether it ended by itself there."""
    found = []
    assert log.terminated is not None
    for rows, ended in zip(log.episodes, log.terminated.tolist(), strict=True):
        cuts = rows.start + 1 + np.flatnonzero(np.diff(log.times[rows]) > gap)
        bounds = [rows.start, *cuts.tolist(), rows.stop]
        for low, high in itertools.pairwise(bounds):
            if high - low >= FEWEST and log.times[high - 1] - log.times[low] >= dt:
                found.append((slice(low, high), ended and high == rows.stop))
    if not found:
        raise UserError(
            f"the log has no {FEWEST} rows without a gap; allowed: an episode without lost rows"
        )
    return found


@dataclass(frozen=True)
class _Part:
    """A piece of an episode, resampled; `within` (m, nu) is the variance of commands in a step."""

    times: Array
    commands: Array
    within: Array
    observations: dict[str, Array]
    extras: dict[str, Array]


def _part(log: Log, rows: slice, dt: float, held: Collection[str]) -> _Part:
    times = log.times[rows]
    count = int(np.floor((times[-1] - times[0]) / dt + 1e-9)) + 1
    grid = np.minimum(times[0] + dt * np.arange(count), times[-1])
    last = np.searchsorted(times, grid, side="right") - 1
    mean, square = (_means(times, values, grid, dt) for values in _powers(log.commands[rows]))
    return _Part(
        times=times[0] + dt * np.arange(count),
        commands=mean,
        within=np.maximum(square - mean**2, 0.0),
        observations={
            name: values[rows][last] if name in held else _smooth(times, values[rows], grid)
            for name, values in log.observations.items()
        },
        extras={name: _smooth(times, values[rows], grid) for name, values in log.extras.items()},
    )


def _powers(commands: Array) -> tuple[Array, Array]:
    return commands, commands**2


def _means(times: Array, values: Array, grid: Array, dt: float) -> Array:
    """Means from each time of the `grid` to `dt` later of values (n, k) that are held; (m, k)."""
    ends = np.append(times, max(times[-1], grid[-1]) + dt)
    integral = np.concatenate([np.zeros((1, values.shape[1])), _areas(ends, values)])
    low, high = (
        np.stack([np.interp(at, ends, one) for one in integral.T], axis=1)
        for at in (grid, grid + dt)
    )
    means: Array = (high - low) / dt
    return means


def _areas(ends: Array, values: Array) -> Array:
    areas: Array = np.cumsum(np.diff(ends)[:, None] * values, axis=0)
    return areas


def _smooth(times: Array, values: Array, grid: Array) -> Array:
    found: Array = PchipInterpolator(times, values, axis=0)(grid)
    return found


def _error(log: Log, values: Array, pieces: Sequence[tuple[slice, bool]]) -> float:
    """The root mean square error of every other row, predicted from the rest."""
    squares = []
    for rows, _ in pieces:
        kept, left_out = (
            np.arange(rows.start, rows.stop, 2),
            np.arange(rows.start + 1, rows.stop, 2),
        )
        inside: IntArray = left_out[left_out < kept[-1]]
        if len(kept) > 1:
            predicted = _smooth(log.times[kept], values[kept], log.times[inside])
            squares.append((predicted - values[inside]).ravel() ** 2)
    return float(np.sqrt(np.mean(np.concatenate(squares))))


def _change(log: Log, name: str) -> float:
    """The root mean square change of a term in a step."""
    changes = [np.diff(log.observations[name][rows], axis=0) for rows in log.episodes]
    return float(np.sqrt(np.mean(np.concatenate(changes) ** 2)))


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _joined(several: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([one[name] for one in several]) for name in several[0]}
