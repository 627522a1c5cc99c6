"""Slopes of the residuals: finite differences along directions in which the log is equally sure.

A difference along a coordinate has an error in proportion to itself: a contact that comes earlier,
an impact that is missed. Sums of coordinates that cancel, such as all masses and all strengths
together, would be left with these errors, and look determined. So the differences follow the
principal axes of the information that the last ones gave, each as long as a standard deviation:
along an axis that the log does not show, nothing changes, whatever its parts do. Each round of
differences makes the axes more exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim2real.identification.problem import Fit, Problem
from sim2real.task import Array

LONGEST, SHORTEST = 0.1, 0.03
"""Largest change of a share in a difference, and the smallest one, in units of the usual step."""
ROOM = 0.3
"""Part of a difference that has to fit into the unit cube to either side; on one side alone, two
differences lie."""
PART = 0.1
"""Smallest part, relative to the largest, that an unknown has in an axis that it belongs to."""


@dataclass(frozen=True)
class Slopes:
    """Of the residuals by the shares, (w, rows, k, d).

    `bend` (w, rows, k): the variance of a residual that straight lines miss, a difference away.
    `spurious` (w, rows, k, d): where a sensor shows something in steps, the variance of a slope by
    them, along each of the `directions` (d, d); else 0.
    """

    by_share: Array
    bend: Array
    spurious: Array
    directions: Array


def usual_directions(problem: Problem) -> Array:
    """Differences along the coordinates, one a column, (d, d)."""
    return np.diag(problem.share_steps)


def principal_directions(problem: Problem, information: Array, shares: Array) -> Array:
    """Differences along the principal axes of the `information` (d, d), one a column, (d, d).

    The information is that with the prior. Delays have a column of their own, a whole physics step.
    So has an unknown at a bound that is no part of the weakest axis: the axes with a part of it
    could be followed on one side only, where differences are less exact.
    """
    family = problem.replay.family
    found = usual_directions(problem)
    at_bound = np.minimum(shares, 1.0 - shares) < SHORTEST * problem.share_steps
    rows = np.flatnonzero(~family.is_delay)
    weakest = np.abs(np.linalg.eigh(information[np.ix_(rows, rows)])[1][:, 0])
    rows = rows[~at_bound[rows] | (weakest > PART * weakest.max())]
    values, axes = np.linalg.eigh(information[np.ix_(rows, rows)])
    largest = np.abs(axes).max(axis=0)
    least = problem.share_steps[rows].min() * (1.0 if problem.in_steps else SHORTEST)
    longest = max(LONGEST, least)
    lengths = np.clip(largest / np.sqrt(values), least, longest) / largest
    found[np.ix_(rows, rows)] = axes * lengths
    return found


def share_slopes(problem: Problem, fit: Fit) -> Slopes:
    """Slopes along the fit's directions, all replayed in one batch, as slopes by the shares.

    They are those of parabolas through the fit and two more replays.
    """
    given = usual_directions(problem) if fit.directions is None else fit.directions
    directions, places = _placed(fit.shares, given)
    count, unknowns = len(problem.windows), len(fit.shares)
    points = fit.shares + places[..., None] * directions.T
    points = np.clip(points, 0.0, 1.0).reshape(-1, unknowns)
    changes = problem.residuals(
        np.repeat(points, count, axis=0),
        np.tile(np.arange(count), len(points)),
        np.tile(fit.offsets, (len(points), 1)),
    ).reshape(2, unknowns, *fit.residuals.shape)
    changes -= fit.residuals
    one, two = changes / places[..., None, None, None]
    curve = (two - one) / (places[1] - places[0])[:, None, None, None]
    along = one - places[0][:, None, None, None] * curve
    by_share = np.tensordot(along, np.linalg.inv(directions), axes=(0, 0))
    bend = np.sum(curve[~problem.replay.family.is_delay] ** 2, axis=0)
    rounding = _of_rounding(places) if problem.in_steps else np.zeros(unknowns)
    return Slopes(by_share, bend, np.moveaxis(curve**2, 0, -1) * rounding, directions)


def _of_rounding(places: Array) -> Array:
    """The variance of a slope for that of a curve, where both are of rounded values only, (d,).

    Both are weighted sums of three values, at 0 and at the two places, with errors of one variance.
    """
    (one, two), apart = places, places[1] - places[0]
    slope = np.stack([two / one, -one / two]) / apart
    curve = np.stack([-1.0 / one, 1.0 / two]) / apart
    variances = [np.sum(part**2, axis=0) + np.sum(part, axis=0) ** 2 for part in (slope, curve)]
    found: Array = variances[0] / variances[1]
    return found


@dataclass(frozen=True)
class StateSlopes:
    """Of the residuals by the start states, (w, rows, k, 2 nv), and the variance of their errors.

    `error` has the same shape: where a sensor shows something in steps, slopes by them; else 0.
    """

    by_state: Array
    error: Array


def state_slopes(problem: Problem, fit: Fit) -> StateSlopes:
    """The slopes by the start states.

    Differences are one-sided; where a sensor shows something in steps, they are central. There the
    residuals of the fit contain rounding errors, and a one-sided slope would be correlated with
    them, which moves the start states away from the truth. The second difference shows the error:
    the slope (f(h) - f(-h)) / 2h has a twelfth of the variance of (f(h) + f(-h) - 2 f(0)) / h, if
    the three values have independent errors of one variance.
    """
    steps = problem.state_steps
    ahead = _moved_states(problem, fit, np.diag(steps)) - fit.residuals
    sizes = steps[:, None, None, None]
    if not problem.in_steps:
        by_state = np.moveaxis(ahead / sizes, 0, -1)
        return StateSlopes(by_state, np.zeros_like(by_state))
    back = _moved_states(problem, fit, -np.diag(steps)) - fit.residuals
    by_state = np.moveaxis((ahead - back) / (2.0 * sizes), 0, -1)
    return StateSlopes(by_state, np.moveaxis(((ahead + back) / sizes) ** 2 / 12.0, 0, -1))


def _moved_states(problem: Problem, fit: Fit, moves: Array) -> Array:
    """The residuals (m, w, rows, k) after each of m `moves` (m, 2 nv) of all start states."""
    count = len(fit.offsets)
    residuals = problem.residuals(
        np.tile(fit.shares, (count * len(moves), 1)),
        np.tile(np.arange(count), len(moves)),
        np.concatenate([fit.offsets + move for move in moves]),
    )
    return residuals.reshape(len(moves), *fit.residuals.shape)


def _placed(shares: Array, directions: Array) -> tuple[Array, Array]:
    """The directions (d, d), within the unit cube, and two places along each, (2, d).

    A place is a part of the direction: one below and one above 0, or two on the side with room.
    """
    found, places = directions.copy(), np.zeros((2, len(shares)))
    for column in range(len(shares)):
        back, ahead = _room(shares, found[:, column])
        if max(back, ahead) < ROOM:
            found[:, column] = _without_blocked(shares, found[:, column])
            back, ahead = _room(shares, found[:, column])
        if min(back, ahead) >= ROOM:
            places[:, column] = -min(back, 1.0), min(ahead, 1.0)
        else:
            side = min(ahead, 2.0) if ahead >= back else -min(back, 2.0)
            places[:, column] = 0.5 * side, side
    return found, places


def _room(shares: Array, direction: Array) -> tuple[float, float]:
    """How many times a direction fits into the unit cube backward and forward."""
    back, ahead = _rooms(shares, direction)
    return float(back.min()), float(ahead.min())


def _rooms(shares: Array, direction: Array) -> tuple[Array, Array]:
    """How many times each part of a direction fits backward and forward, (d,) each."""
    size = np.abs(direction)
    with np.errstate(over="ignore"):
        to_low, to_high = (
            np.divide(room, size, out=np.full(len(size), np.inf), where=size > 0.0)
            for room in (shares, 1.0 - shares)
        )
    up = direction > 0.0
    return np.where(up, to_low, to_high), np.where(up, to_high, to_low)


def _without_blocked(shares: Array, direction: Array) -> Array:
    """A direction without the parts that have no room on the side where its largest part has most.

    A part may be as small as a rounding error: at a bound, it has no room either.
    """
    largest = int(np.argmax(np.abs(direction)))
    side = max(_rooms(shares, direction), key=lambda rooms: float(rooms[largest]))
    kept: Array = np.where(side < ROOM, 0.0, direction)
    return kept
