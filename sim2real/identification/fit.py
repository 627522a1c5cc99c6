"""The local stage: Gauss-Newton over the unknowns of a family and the start states of the windows.

The residual of a replay depends on the shares of the unknowns, the same in all windows, and on the
state at the start of its own window. The normal equations have the shape of an arrow; the states
are eliminated window by window (Schur complement), as in bundle adjustment (Triggs et al. 2000).
Columns of the Jacobian are finite differences: each is one world more in the batch. Residuals are
weighted as those of a Student distribution (Lange, Little and Taylor 1989), so that a window with
a contact that the replay misses counts little.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from sim2real.identification.problem import Fit, Problem
from sim2real.identification.slopes import (
    Slopes,
    StateSlopes,
    principal_directions,
    share_slopes,
    state_slopes,
)
from sim2real.identification.steps import straight, targets
from sim2real.task import Array

FREEDOM = 4.0
"""Degrees of freedom of the Student distribution."""
STATE_PARTS = (1.0, 0.3, 0.0)
"""Parts of a step of its start state that each window tries."""
STATE_PRECISION = 1.0
"""Of a start state around the estimated one, in 1/m², 1/rad² and so on."""
DAMPINGS = (1e-6, 1e-3, 1e-1, 1e1)
"""Levenberg-Marquardt dampings, tried one after the other until a step is better."""
ALLOWED_RISE = 0.1
"""Largest rise of the cost, in nats for each window, at which a step is accepted where a sensor
counts in steps, and a leap to the mode of the prior."""
MOST_ERROR = 0.5
"""Largest share of the information of a state that is subtracted for errors of its slopes."""
RESTARTED, RESTART_STEPS = 0.3, 3
"""Share of the windows whose start states are fitted again from other values, and the steps."""
QUIET = 1e-3
"""Smallest noise of a channel, in units of its typical change."""


def positive(information: Array) -> Array:
    """The information (d, d) without the directions in which it is negative.

    It can be, where more was taken out for the steps of a sensor than there was.
    """
    values, axes = np.linalg.eigh(information)
    found: Array = (axes * np.maximum(values, 0.0)) @ axes.T
    return found if values[0] < 0 else information


@dataclass(frozen=True)
class Equations:
    """The reduced normal equations of w windows: information (w, d, d), gradients (w, d).

    `back` and `correction` give the offset of each window for a change of the shares.
    """

    information: Array
    gradient: Array
    back: Array
    correction: Array

    def tempered(self, part: float) -> Equations:
        """The equations of a log that counts as this `part` of its windows.

        The variance of a gradient, a sum over windows, falls as the information does.
        """
        return dataclasses.replace(
            self,
            information=part * self.information,
            gradient=math.sqrt(part) * self.gradient,
        )

    def std(self, precision: Array) -> Array:
        """The standard deviations of the shares, with a prior of this `precision` (d,), (d,)."""
        variances: Array = np.diag(np.linalg.inv(self.total + np.diag(precision)))
        return np.sqrt(variances)

    @property
    def total(self) -> Array:
        """The information of all windows, (d, d)."""
        return positive(self.information.sum(axis=0))


def start(problem: Problem, shares: Array) -> Fit:
    """A fit at the `shares`, delays at whole physics steps, with the states as estimated."""
    shares = problem.replay.family.snapped(shares)
    count = len(problem.windows)
    offsets = problem.aligned(np.tile(shares, (count, 1)), np.arange(count))
    return start_from(problem, shares, offsets)


def start_from(problem: Problem, shares: Array, offsets: Array) -> Fit:
    """A fit at the `shares` with the states moved by `offsets` (w, 2 nv)."""
    return _with_noise(problem, shares, offsets, _replayed(problem, shares, offsets))


def improve(problem: Problem, fit: Fit) -> tuple[Fit, float]:
    """One Gauss-Newton step, and how far it moved a share, at most, in its standard deviations.

    0 where no step is better.
    """
    equations = equations_at(problem, fit)
    better = _best_step(problem, fit, equations)
    precision = problem.replay.family.precision(fit.shares)
    information = equations.total + np.diag(precision)
    directions = principal_directions(problem, information, better.shares)
    if better is fit:
        return dataclasses.replace(fit, directions=directions), 0.0
    found = _with_noise(problem, better.shares, better.offsets, better.residuals)
    found = dataclasses.replace(found, directions=directions)
    return found, float((np.abs(found.shares - fit.shares) / equations.std(precision)).max())


def undamped(problem: Problem, fit: Fit, equations: Equations) -> tuple[Array, float]:
    """Where the undamped step leads, and by how much the cost should fall on the way there.

    Along what the log does not determine the step leads to the mode of the prior.
    """
    information, gradient = _quadratic(problem, fit, equations)
    free = ~problem.replay.family.is_delay
    step = straight(fit.shares, information, gradient, free)
    return fit.shares + step, float(gradient @ step - 0.5 * step @ information @ step)


def _quadratic(problem: Problem, fit: Fit, equations: Equations) -> tuple[Array, Array]:
    """Information (d, d) and downward gradient (d,) of the cost, with those of the prior."""
    family = problem.replay.family
    precision = family.precision(fit.shares)
    gradient = equations.gradient.sum(axis=0) - precision * (fit.shares - family.nominal)
    return equations.total + np.diag(precision), gradient


def leap(problem: Problem, fit: Fit, equations: Equations, shares: Array) -> Fit:
    """A fit at `shares` far away, whatever it costs, with the states that belong to them."""
    step = equations.correction - equations.back @ (shares - fit.shares)
    found = _moved(problem, fit, shares, step)
    found = _with_noise(problem, found.shares, found.offsets, found.residuals)
    return dataclasses.replace(found, directions=fit.directions)


def improve_states(problem: Problem, fit: Fit) -> Fit:
    """One Gauss-Newton step of the start states alone."""
    by_state = state_slopes(problem, fit)
    nothing = np.zeros((*fit.residuals.shape, 0))
    slopes = Slopes(nothing, np.zeros_like(fit.residuals), nothing, np.zeros((0, 0)))
    correction = reduce(fit, slopes, by_state).correction
    found = _moved(problem, fit, fit.shares, correction)
    return _with_noise(problem, found.shares, found.offsets, found.residuals)


def restarted(problem: Problem, fit: Fit) -> Fit:
    """The fit after a restart of the start states of the windows with the largest cost.

    The cost of a window with a contact has several local minima in its start state. So new steps
    begin at the state in which the window before ends, and at the estimated state; the best of the
    three states is kept.
    """
    costs = _window_costs(fit.residuals, fit.noise, fit.offsets)
    each = np.arange(len(costs))
    worst = np.argsort(costs)[len(each) - math.ceil(RESTARTED * len(each)) :]
    some = problem.subset(worst)
    estimated = problem.aligned(np.tile(fit.shares, (len(each), 1)), each)
    offsets, residuals, least = fit.offsets.copy(), fit.residuals.copy(), costs.copy()
    for begin in (problem.ends_before(fit), estimated):
        begin = begin[worst]
        found = Fit(fit.shares, begin, _replayed(some, fit.shares, begin), fit.noise, np.inf)
        for _ in range(RESTART_STEPS):
            found = dataclasses.replace(improve_states(some, found), noise=fit.noise)
        new = _window_costs(found.residuals, fit.noise, found.offsets)
        better = new < least[worst]
        offsets[worst[better]] = found.offsets[better]
        residuals[worst[better]] = found.residuals[better]
        least[worst] = np.minimum(new, least[worst])
    other = _with_noise(problem, fit.shares, offsets, residuals)
    return dataclasses.replace(other, directions=fit.directions)


def equations_at(problem: Problem, fit: Fit) -> Equations:
    """The normal equations of the shares at a fit."""
    return reduce(fit, share_slopes(problem, fit), state_slopes(problem, fit))


def _with_noise(problem: Problem, shares: Array, offsets: Array, residuals: Array) -> Fit:
    """A fit with the noise of each channel in each row as its residuals show it."""
    noise = noise_of(residuals, offsets.shape[1])
    cost = _window_costs(residuals, noise, offsets).sum() + _prior_cost(problem, shares)
    return Fit(shares, offsets, residuals, noise, float(cost))


def noise_of(residuals: Array, states: int) -> Array:
    """Robust standard deviations, (rows, k), of residuals (w, rows, k) with fitted `states`.

    They grow along a window where a replay diverges. The first row, which the states are fitted to
    most of all, has those of the second one.
    """
    spread = 1.4826 * np.median(np.abs(residuals), axis=0)
    spread[0] = spread[1]
    readings = residuals.shape[1] * residuals.shape[2]
    spread *= np.sqrt(readings / max(readings - states, 0.5 * readings))
    return np.maximum(spread, QUIET)


def _replayed(problem: Problem, shares: Array, offsets: Array) -> Array:
    count = len(problem.windows)
    return problem.residuals(np.tile(shares, (count, 1)), np.arange(count), offsets)


def reduce(fit: Fit, slopes: Slopes, states: StateSlopes) -> Equations:
    """The normal equations of the shares, with the start states eliminated."""
    weights = _weights(fit, slopes.bend)
    count = len(weights)
    root = np.sqrt(weights).reshape(count, -1, 1)
    rest = (root[..., 0] * fit.residuals.reshape(count, -1))[..., None]
    first = root * slopes.by_share.reshape(count, root.shape[1], slopes.by_share.shape[-1])
    second = root * states.by_state.reshape(count, root.shape[1], states.by_state.shape[-1])
    inner = _without_errors(np.swapaxes(second, 1, 2) @ second, weights, states)
    inner += STATE_PRECISION * np.eye(inner.shape[1])
    cross = np.swapaxes(second, 1, 2) @ first
    pull = -np.swapaxes(second, 1, 2) @ rest - STATE_PRECISION * fit.offsets[..., None]
    back = np.asarray(np.linalg.solve(inner, cross), dtype=np.float64)
    correction = np.asarray(np.linalg.solve(inner, pull), dtype=np.float64)
    information = np.swapaxes(first, 1, 2) @ first - np.swapaxes(cross, 1, 2) @ back
    information -= _spurious(weights, slopes, information, second.shape)
    gradient = -np.swapaxes(first, 1, 2) @ rest - np.swapaxes(cross, 1, 2) @ correction
    return Equations(information, gradient[..., 0], back, correction[..., 0])


def _without_errors(inner: Array, weights: Array, states: StateSlopes) -> Array:
    """The information of the states (w, s, s) without what errors of their slopes add to it.

    Errors in variables (Fuller 1987). With these errors the states could not quite compensate for
    an unknown, and the unknown would look determined. At most `MOST_ERROR` is subtracted.
    """
    diagonal = np.einsum("wss->ws", inner)
    errors = np.einsum("wrk,wrks->ws", weights, states.error)
    taken = np.minimum(errors, MOST_ERROR * diagonal)
    found: Array = inner - np.eye(inner.shape[1]) * taken[:, None]
    return found


def _spurious(weights: Array, slopes: Slopes, information: Array, shape: tuple[int, ...]) -> Array:
    """The part of the `information` (w, d, d) that slopes seem to have by the steps of a sensor.

    Each reading that is rounded adds to it, whether an unknown acts on it or not: errors in
    variables (Fuller 1987), subtracted by their variance. The states take their part of it. Where a
    replay diverges, the variance is not that of rounding; so at most twice the information along a
    direction is subtracted. Twice, because the difference must be 0 on average where all of the
    information is spurious.
    """
    _, readings, states = shape
    part = max(1.0 - states / readings, 0.0)
    along = part * np.einsum("wrk,wrkd->wd", weights, slopes.spurious)
    own = np.einsum("ik,wij,jk->wk", slopes.directions, information, slopes.directions)
    along = np.minimum(along, 2.0 * np.maximum(own, 0.0))
    inverse = np.linalg.inv(slopes.directions)
    found: Array = np.swapaxes(inverse[None] * along[..., None], 1, 2) @ inverse
    return found


def _best_step(problem: Problem, fit: Fit, equations: Equations) -> Fit:
    """The first of several damped steps that lowers the cost, or the fit itself if none does.

    Where a sensor counts in steps, the cost has many small local minima, where readings are rounded
    to the same step by chance. The slopes are means over many readings, so a step is accepted there
    if the cost rises by no more than `ALLOWED_RISE`.
    """
    information, gradient = _quadratic(problem, fit, equations)
    most = fit.cost + (ALLOWED_RISE * len(problem.windows) if problem.in_steps else 0.0)
    for damping in DAMPINGS:
        for shares in targets(problem.replay.family, fit.shares, information, gradient, damping):
            step = equations.correction - equations.back @ (shares - fit.shares)
            found = _moved(problem, fit, shares, step)
            if found.cost < most:
                return found
    return fit


def _moved(problem: Problem, fit: Fit, shares: Array, step: Array) -> Fit:
    """A fit at other `shares`; each window's state goes the part of its `step` that fits best."""
    count = len(step)
    offsets = np.stack([fit.offsets + part * step for part in STATE_PARTS])
    residuals = problem.residuals(
        np.tile(shares, (count * len(STATE_PARTS), 1)),
        np.tile(np.arange(count), len(STATE_PARTS)),
        offsets.reshape(-1, step.shape[1]),
    ).reshape(len(STATE_PARTS), *fit.residuals.shape)
    costs = np.stack(
        [_window_costs(r, fit.noise, o) for r, o in zip(residuals, offsets, strict=True)]
    )
    best, each = costs.argmin(axis=0), np.arange(count)
    cost = costs.min(axis=0).sum() + _prior_cost(problem, shares)
    return Fit(shares, offsets[best, each], residuals[best, each], fit.noise, float(cost))


def _weights(fit: Fit, bend: Array) -> Array:
    """Weights of the squared residuals, (w, rows, k): small for what is far off or bends."""
    return (FREEDOM + 1) / (FREEDOM * (fit.noise**2 + bend) + fit.residuals**2)


def _window_costs(residuals: Array, noise: Array, offsets: Array) -> Array:
    """The negative logarithm of the density of each window, but for a constant, (w,)."""
    scaled = residuals**2 / (FREEDOM * noise**2)
    likelihood = 0.5 * (FREEDOM + 1) * np.log1p(scaled) + np.log(noise)
    states = 0.5 * STATE_PRECISION * np.sum(offsets**2, axis=1)
    costs: Array = likelihood.sum(axis=(1, 2)) + states
    return costs


def _prior_cost(problem: Problem, shares: Array) -> float:
    return problem.replay.family.prior_cost(shares)
