"""The local stage: Gauss-Newton over the unknowns of a family and the start states of the windows.

The residual of a replay depends on the shares of the unknowns, the same in all windows, and on the
state at the start of its own window. The normal equations have the shape of an arrow; the states
are eliminated window by window (Schur complement), as in bundle adjustment (Triggs et al. 2000).
Columns of the Jacobian are finite differences: each is one world more in the batch. Residuals are
weighted as those of a Student distribution (Lange, Little and Taylor 1989), so that a window with
a contact that the replay misses counts little.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from sim2real.identification.replay import Replay, Windows
from sim2real.identification.states import PROBE, linearized
from sim2real.identification.steps import targets
from sim2real.identification.windows import Channels
from sim2real.task import Array, IntArray

FREEDOM = 4.0
"""Degrees of freedom of the Student distribution."""
STATE_STEP = 1e-3
"""Finite difference of a coordinate of the state, in m, rad, m/s or rad/s."""
GRAIN = 0.2
"""Change of a slope with the size of the step, as a share, from which a sensor counts in steps."""
COARSE, COARSE_SPEED = 5.0, 0.2
"""Where a sensor counts in steps: factor of the finite differences of shares, and difference of a
velocity, in m/s or rad/s."""
STATE_PARTS = (1.0, 0.3, 0.0)
"""Parts of a step of its start state that each window tries."""
STATE_PRECISION = 1.0
"""Of a start state around the estimated one, in 1/m², 1/rad² and so on."""
DAMPINGS = (1e-6, 1e-3, 1e-1, 1e1)
"""Levenberg-Marquardt dampings, tried one after the other until a step is better."""
QUIET = 1e-3
"""Smallest noise of a channel, in units of its typical change."""
LOST = 1e3
"""Residual, in units of the scale, of a replay that is not stable."""


@dataclass(frozen=True)
class Fit:
    """Shares (d,) and offsets of the start states (w, 2 nv), with what they leave unexplained.

    `residuals` (w, rows, k), in units of the channels' scale; `noise` (rows, k), in the same units;
    `cost`, the robust negative log-likelihood with the prior.
    """

    shares: Array
    offsets: Array
    residuals: Array
    noise: Array
    cost: float


@dataclass(frozen=True)
class Equations:
    """The reduced normal equations of w windows: information (w, d, d), gradients (w, d).

    `unbiased` (w, d, d) is the information without what errors of the slopes add to it.
    `back` and `correction` give the offset of each window for a change of the shares.
    """

    information: Array
    unbiased: Array
    gradient: Array
    back: Array
    correction: Array

    def std(self, precision: Array) -> Array:
        """The standard deviations of the shares, with a prior of this `precision` (d,), (d,)."""
        variances: Array = np.diag(np.linalg.inv(self.total + np.diag(precision)))
        return np.sqrt(variances)

    @property
    def total(self) -> Array:
        """The unbiased information of all windows, without what is negative by chance, (d, d)."""
        return positive(self.unbiased.sum(axis=0))


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
        return np.repeat([PROBE, COARSE_SPEED], size // 2)

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
    if better is fit:
        return fit, 0.0
    found = _with_noise(problem, better.shares, better.offsets, better.residuals)
    return found, float(
        (np.abs(found.shares - fit.shares) / equations.std(_precision(problem))).max()
    )


def positive(matrix: Array) -> Array:
    """A symmetric matrix without its negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    found: Array = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found


def improve_states(problem: Problem, fit: Fit) -> Fit:
    """One Gauss-Newton step of the start states alone."""
    by_state = state_slopes(problem, fit)
    nothing = np.zeros((2, *by_state.shape[:-1], 0))
    correction = reduce(fit, nothing, by_state).correction
    found = _moved(problem, fit, fit.shares, correction)
    return _with_noise(problem, found.shares, found.offsets, found.residuals)


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


def share_slopes(problem: Problem, fit: Fit) -> Array:
    """Slopes of the residuals by the shares, below and above them, (2, w, rows, k, d).

    All are replayed in one batch. At the end of a range both are that to the other side.
    """
    count, unknowns = len(problem.windows), len(fit.shares)
    shares, widths = _neighbours(fit.shares, problem.share_steps)
    runs = problem.residuals(
        np.repeat(shares, count, axis=0),
        np.tile(np.arange(count), len(shares)),
        np.tile(fit.offsets, (len(shares), 1)),
    ).reshape(2, unknowns, *fit.residuals.shape)
    changes = (runs - fit.residuals) * np.array([-1.0, 1.0]).reshape(2, 1, 1, 1, 1)
    slopes = changes / np.maximum(widths, 1e-12)[..., None, None, None]
    low, high = (
        np.where((own > 0)[:, None, None, None], one, other)
        for own, one, other in zip(widths, slopes, slopes[::-1], strict=True)
    )
    return np.moveaxis(np.stack([low, high]), 1, -1)


def state_slopes(problem: Problem, fit: Fit) -> Array:
    """Slopes of the residuals by the start states, (w, rows, k, 2 nv)."""
    count, size = fit.offsets.shape
    steps = problem.state_steps
    runs = problem.residuals(
        np.tile(fit.shares, (count * size, 1)),
        np.tile(np.arange(count), size),
        np.concatenate([fit.offsets + step for step in np.diag(steps)]),
    ).reshape(size, *fit.residuals.shape)
    return np.moveaxis((runs - fit.residuals) / steps[:, None, None, None], 0, -1)


def _neighbours(shares: Array, steps: Array) -> tuple[Array, Array]:
    """Shares below, then above, in every direction, (2 d, d), and how far they are, (2, d)."""
    low = np.clip(shares - np.diag(steps), 0.0, 1.0)
    high = np.clip(shares + np.diag(steps), 0.0, 1.0)
    widths = np.stack([shares - np.diag(low), np.diag(high) - shares])
    return np.concatenate([low, high]), widths


def reduce(fit: Fit, sides: Array, by_state: Array) -> Equations:
    """The normal equations of the shares, with the start states eliminated.

    `sides` are slopes below and above, (2, w, rows, k, d). Their product is the unbiased
    information: the errors of the two are independent, so that they add nothing where the residuals
    do not depend on a combination of the shares (errors in variables).
    """
    by_share = sides.mean(axis=0)
    weights = _weights(fit)
    count = len(weights)
    root = np.sqrt(weights).reshape(count, -1, 1)
    rest = (root[..., 0] * fit.residuals.reshape(count, -1))[..., None]
    first = root * by_share.reshape(count, root.shape[1], by_share.shape[-1])
    second = root * by_state.reshape(count, root.shape[1], by_state.shape[-1])
    inner = np.swapaxes(second, 1, 2) @ second
    inner += STATE_PRECISION * np.eye(inner.shape[1])
    cross = np.swapaxes(second, 1, 2) @ first
    pull = -np.swapaxes(second, 1, 2) @ rest - STATE_PRECISION * fit.offsets[..., None]
    back = np.asarray(np.linalg.solve(inner, cross), dtype=np.float64)
    correction = np.asarray(np.linalg.solve(inner, pull), dtype=np.float64)
    low, high = (root * one.reshape(first.shape) for one in sides)
    product = np.swapaxes(low, 1, 2) @ high
    known = np.swapaxes(cross, 1, 2) @ back
    information = np.swapaxes(first, 1, 2) @ first - known
    unbiased = 0.5 * (product + np.swapaxes(product, 1, 2)) - known
    gradient = -np.swapaxes(first, 1, 2) @ rest - np.swapaxes(cross, 1, 2) @ correction
    return Equations(information, unbiased, gradient[..., 0], back, correction[..., 0])


def _best_step(problem: Problem, fit: Fit, equations: Equations) -> Fit:
    """The best of several damped steps, or the fit itself where none is better."""
    precision, nominal = _precision(problem), problem.replay.family.nominal
    information = equations.information.sum(axis=0) + np.diag(precision)
    gradient = equations.gradient.sum(axis=0) - precision * (fit.shares - nominal)
    for damping in DAMPINGS:
        for shares in targets(problem.replay.family, fit.shares, information, gradient, damping):
            step = equations.correction - equations.back @ (shares - fit.shares)
            found = _moved(problem, fit, shares, step)
            if found.cost < fit.cost:
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


def _weights(fit: Fit) -> Array:
    """Weights of the squared residuals, (w, rows, k): small for what is far off."""
    return (FREEDOM + 1) / (FREEDOM * fit.noise**2 + fit.residuals**2)


def _window_costs(residuals: Array, noise: Array, offsets: Array) -> Array:
    """The negative logarithm of the density of each window, but for a constant, (w,)."""
    scaled = residuals**2 / (FREEDOM * noise**2)
    likelihood = 0.5 * (FREEDOM + 1) * np.log1p(scaled) + np.log(noise)
    states = 0.5 * STATE_PRECISION * np.sum(offsets**2, axis=1)
    costs: Array = likelihood.sum(axis=(1, 2)) + states
    return costs


def _prior_cost(problem: Problem, shares: Array) -> float:
    nominal = problem.replay.family.nominal
    return float(0.5 * np.sum(_precision(problem) * (shares - nominal) ** 2))


def _precision(problem: Problem) -> Array:
    return problem.replay.family.precision
