"""The local stage: steps of Gauss-Newton until they end, single steps of delays, and leaps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from sim2real.identification.fit import (
    ALLOWED_RISE,
    Equations,
    equations_at,
    improve,
    improve_states,
    leap,
    restarted,
    start_from,
    undamped,
)
from sim2real.identification.problem import Fit, Problem

STATE_STEPS, STEPS = 20, 20
"""Steps of the start states alone, and of all unknowns, at most."""
STATES_SETTLED, RESTARTS = 0.1, 5
"""Fall of the cost, in nats for each window, below which steps of the states and restarts end, and
the number of restarts, at most."""
LEAPS, LANDING, GAIN = 4, 4, 0.3
"""Leaps along what the log does not determine, steps after each, and the fall of the cost that has
to be expected of one, at least."""
SETTLED = 0.1
"""Change of a share, in its standard deviations, at which the steps end."""

Progress = Callable[[float], None]
"""Is called with the part of the steps that is done."""


def refined(problem: Problem, fit: Fit, progress: Progress) -> tuple[Fit, Equations]:
    """The fit at which Gauss-Newton ends, and its normal equations."""
    found = settled(problem, restarted(problem, with_states(problem, fit)), STEPS, progress)
    found = with_delays(problem, found, progress)
    return _leapt(problem, with_restarts(problem, found, LANDING, progress), progress)


def with_states(problem: Problem, fit: Fit, steps: int = STATE_STEPS) -> Fit:
    """The fit with its start states fitted to its shares, by so many steps at most."""
    found = fit
    for _ in range(steps):
        before, found = found.cost, improve_states(problem, found)
        if before - found.cost < STATES_SETTLED * len(problem.windows):
            break
    return dataclasses.replace(found, directions=fit.directions)


def with_restarts(problem: Problem, fit: Fit, steps: int, progress: Progress) -> Fit:
    """The fit after restarts of the start states, each followed by `steps` of all unknowns."""
    for _ in range(RESTARTS):
        other = settled(problem, restarted(problem, fit), steps, progress)
        gain = fit.cost - other.cost
        fit = other if gain > 0.0 else fit
        if gain < STATES_SETTLED * len(problem.windows):
            break
    return fit


def settled(problem: Problem, fit: Fit, steps: int, progress: Progress) -> Fit:
    """The fit after so many Gauss-Newton steps, or where they end."""
    for number in range(1, steps + 1):
        fit, moved = improve(problem, fit)
        progress(number / steps)
        if moved < SETTLED:
            break
    return fit


def with_delays(problem: Problem, fit: Fit, progress: Progress) -> Fit:
    """The fit with each delay moved by single physics steps, as long as that is better.

    The start states and the other unknowns need several steps until they fit another delay, so
    the steps of Gauss-Newton, which have to be better at once, often leave a delay as it is.
    """
    family = problem.replay.family
    for column in np.flatnonzero(family.is_delay).tolist():
        for step in family.differences[column] * np.array([-1.0, 1.0]):
            while (other := _with_delay(problem, fit, column, step, progress)).cost < fit.cost:
                fit = other
    return fit


def _with_delay(problem: Problem, fit: Fit, column: int, step: float, progress: Progress) -> Fit:
    """The fit with one delay moved by a `step` and all else fitted to it, if that is better.

    After some steps, it ends early where more steps as good as the last would not make it so.
    """
    family = problem.replay.family
    shares = fit.shares.copy()
    shares[column] = np.clip(shares[column] + step, 0.0, 1.0)
    shares = family.snapped(shares)
    if np.array_equal(shares, family.snapped(fit.shares)):
        return fit
    other = with_states(problem, start_from(problem, shares, fit.offsets), LANDING)
    other = dataclasses.replace(other, directions=fit.directions)
    for number in range(1, STEPS + 1):
        before = other.cost
        other, moved = improve(problem, other)
        if other.cost < fit.cost:
            return settled(problem, other, STEPS, progress)
        in_reach = fit.cost + (STEPS - number) * (before - other.cost)
        if moved < SETTLED or (number > LANDING and other.cost > in_reach):
            break
    return fit


def _leapt(problem: Problem, fit: Fit, progress: Progress) -> tuple[Fit, Equations]:
    """The fit moved to the mode of the prior along what the log does not determine.

    On the straight way there the replays miss the log, so single steps would not go far. The start
    states have many local minima, so fits of equal quality differ in their cost, and the cost may
    rise by `ALLOWED_RISE`. Without that an estimate can stay at the bound of a range.
    """
    equations = equations_at(problem, fit)
    for _ in range(LEAPS):
        shares, gain = undamped(problem, fit, equations)
        if gain < GAIN:
            break
        near = settled(problem, leap(problem, fit, equations, shares), LANDING, progress)
        other = with_restarts(problem, near, LANDING, progress)
        if other.cost >= fit.cost + ALLOWED_RISE * len(problem.windows):
            break
        fit, equations = other, equations_at(problem, other)
    return fit, equations
