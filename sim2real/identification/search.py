"""The global stage: cross-entropy search over replays (Rubinstein and Kroese 2004).

Every candidate replays the same windows, all of them in one batch. Errors count in units of a
channel's typical change, logarithmically, so that a window that no candidate explains, after a
contact for example, decides nothing. The start states are fitted to the mean of each generation.
Errors that other start states would explain to first order do not count: they are projected out
(Golub and Pereyra 1973).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim2real.identification.fit import improve_states, start_from
from sim2real.identification.problem import Problem
from sim2real.identification.slopes import state_slopes
from sim2real.task import Array, BoolArray, IntArray

CANDIDATES, WINDOWS = 64, 20
"""Candidates of a generation, and the windows that each replays."""
ELITES, MEMORY = 12, 0.3
"""The best candidates, and the share of the last generation's distribution that is kept."""
TOLERANCE = 0.3
"""Error, in units of a channel's change in a step, up to which a square is felt."""
NARROW = 0.06
"""Standard deviation of the shares at which the search has found its place."""
RIDGE = 1e-2
"""Ridge of the projection: the prior precision 1 of a state, times the variance of a noise of a
tenth of the scale."""
STATE_STEPS = 2
"""Steps of the start states at the mean of each generation."""
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
    states = np.zeros((len(problem.windows), 2 * problem.replay.model.nv))
    found = None
    while True:
        shares = np.where(free, np.clip(shares, 0.0, 1.0), nominal)
        rows = _some(rng, len(problem.windows))
        at = nominal if found is None else found.mean
        fitted = _with_states(problem.subset(rows), at, states[rows])
        states[rows] = fitted.states
        costs = _costs(fitted, shares)
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


@dataclass(frozen=True)
class _Fitted:
    """Some windows, with start states that are fitted to the mean of a generation.

    `states` (w, 2 nv) are offsets from the states that agree with the first readings; `slopes` (w,
    rows, k, 2 nv) are those of the residuals by the states.
    """

    problem: Problem
    states: Array
    slopes: Array


def _with_states(problem: Problem, shares: Array, states: Array) -> _Fitted:
    """The windows of the problem after some steps of their `states` (w, 2 nv), at the shares."""
    shares = problem.replay.family.snapped(shares)
    each = np.arange(len(problem.windows))
    aligned = problem.aligned(np.tile(shares, (len(each), 1)), each)
    fit = start_from(problem, shares, aligned + states)
    for _ in range(STATE_STEPS):
        fit = improve_states(problem, fit)
    return _Fitted(problem, fit.offsets - aligned, state_slopes(problem, fit).by_state)


def _costs(fitted: _Fitted, shares: Array) -> Array:
    """The mean logarithmic error of each candidate, (m,)."""
    problem, count = fitted.problem, len(fitted.states)
    choice = np.tile(np.arange(count), len(shares))
    rows = np.repeat(shares, count, axis=0)
    offsets = problem.aligned(rows, choice) + fitted.states[choice]
    residuals = problem.residuals(rows, choice, offsets)
    residuals = residuals.reshape(len(shares), count, *residuals.shape[1:])
    rest = _projected(residuals, fitted.slopes)
    costs: Array = np.minimum(_errors(residuals), _errors(rest)).mean(axis=1)
    return costs


def _errors(residuals: Array) -> Array:
    """The mean logarithmic error (m, w) of residuals (m, w, rows, k) after the first row."""
    errors: Array = np.log1p((residuals[:, :, 1:] / TOLERANCE) ** 2).mean(axis=(2, 3))
    return errors


def _projected(residuals: Array, by_state: Array) -> Array:
    """The residuals (m, w, rows, k) without what slopes by the states (w, rows, k, s) explain."""
    slopes = by_state.reshape(len(by_state), -1, by_state.shape[-1])
    flat = residuals.reshape(*residuals.shape[:2], -1)
    normal = np.swapaxes(slopes, 1, 2) @ slopes + RIDGE * np.eye(slopes.shape[2])
    states = np.linalg.solve(normal, np.einsum("wns,mwn->wsm", slopes, flat))
    rest: Array = flat - np.einsum("wns,wsm->mwn", slopes, states)
    return rest.reshape(residuals.shape)


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
