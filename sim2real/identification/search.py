"""The global stage: cross-entropy search over replays (Rubinstein and Kroese 2004).

Every candidate replays the same windows, all of them in one batch. Errors count in units of a
channel's typical change, logarithmically, so that a window that no candidate explains, after a
contact for example, decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim2real.identification.problem import Problem
from sim2real.task import Array, BoolArray, IntArray

CANDIDATES, WINDOWS = 64, 20
"""Candidates of a generation, and the windows that each replays."""
ELITES, MEMORY = 12, 0.3
"""The best candidates, and the share of the last generation's distribution that is kept."""
TOLERANCE = 0.3
"""Error, in units of a channel's change in a step, up to which a square is felt."""
NARROW = 0.06
"""Standard deviation of the shares at which the search has found its place."""
PULL = 1e-3
"""Cost of a share's squared distance from the nominal one: it decides where the log does not."""


@dataclass(frozen=True)
class Generation:
    """A normal distribution of shares, (d,) each, and the best cost that it was made from."""

    mean: Array
    std: Array
    cost: float

    def is_narrow(self, free: BoolArray) -> bool:
        """Whether all that is searched lies close together."""
        return bool(self.std[free].max(initial=0.0) < NARROW)


def generations(
    problem: Problem, free: BoolArray, rng: np.random.Generator
) -> Iterator[Generation]:
    """One generation after the other, without end; the shares that are not `free` stay nominal."""
    nominal = problem.replay.family.nominal
    shares = rng.uniform(size=(CANDIDATES, len(nominal)))
    shares[0] = nominal
    found = None
    while True:
        shares = np.where(free, np.clip(shares, 0.0, 1.0), nominal)
        costs = _costs(problem, shares, _some(rng, len(problem.windows)))
        costs += PULL * ((shares - nominal) ** 2).sum(axis=1)
        found = _next(shares[np.argsort(costs)[:ELITES]], float(costs.min()), found)
        yield found
        shares = found.mean + found.std * rng.standard_normal(shares.shape)
        shares[0] = found.mean


def _next(elites: Array, cost: float, last: Generation | None) -> Generation:
    mean, std = elites.mean(axis=0), elites.std(axis=0)
    if last is not None:
        mean = (1 - MEMORY) * mean + MEMORY * last.mean
        std = (1 - MEMORY) * std + MEMORY * last.std
    return Generation(mean, std, cost)


def _some(rng: np.random.Generator, count: int) -> IntArray:
    """Windows of a generation."""
    return rng.choice(count, min(WINDOWS, count), replace=False)


def _costs(problem: Problem, shares: Array, windows: IntArray) -> Array:
    """The mean logarithmic error of each candidate, (m,)."""
    choice = np.tile(windows, len(shares))
    rows = np.repeat(shares, len(windows), axis=0)
    residuals = problem.residuals(rows, choice, problem.aligned(rows, choice))[:, 1:]
    errors = np.log1p((residuals / TOLERANCE) ** 2).mean(axis=(1, 2))
    costs: Array = errors.reshape(len(shares), -1).mean(axis=1)
    return costs


def effects(problem: Problem) -> Array:
    """How far each unknown alone moves the readings between the ends of its range, (d,).

    The root mean square over the windows, in units of a channel's change in a step.
    """
    nominal = problem.replay.family.nominal
    windows = np.arange(min(WINDOWS, len(problem.windows)))
    moved = []
    for index in range(len(nominal)):
        ends = np.tile(nominal, (2, 1))
        ends[:, index] = 0.0, 1.0
        rows = np.repeat(ends, len(windows), axis=0)
        offsets = np.zeros((len(rows), 2 * problem.replay.model.nv))
        found = problem.residuals(rows, np.tile(windows, 2), offsets)
        low, high = np.split(found, 2)
        moved.append(np.sqrt(np.mean(np.clip(high - low, -1e3, 1e3) ** 2)))
    return np.array(moved)
