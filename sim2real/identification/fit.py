"""The local stage: Gauss-Newton over the unknowns of a family and the start states of the windows.

The residual of a replay depends on the shares of the unknowns, the same in all windows, and on the
state at the start of its own window. The normal equations have the shape of an arrow; the states
are eliminated window by window (Schur complement), as in bundle adjustment (Triggs et al. 2000).
Columns of the Jacobian are finite differences: each is one world more in the batch. Residuals are
weighted as those of a Student distribution (Lange, Little and Taylor 1989), so that a window with
a contact that the replay misses counts little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim2real.identification.family import Family
from sim2real.identification.replay import Replay, Windows
from sim2real.identification.windows import Channels
from sim2real.task import Array, BoolArray, IntArray

FREEDOM = 4.0
"""Degrees of freedom of the Student distribution."""
STATE_STEP = 1e-3
"""Finite difference of a coordinate of the state, in m, rad, m/s or rad/s."""
PRIOR_PRECISION = 12.0
"""Of a share around the nominal one: that of a uniform distribution on [0, 1]."""
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

    `residuals` (w, rows, k), in units of the channels' scale; `noise` (k,), in the same units;
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

    `back` and `correction` give the offset of each window for a change of the shares.
    """

    information: Array
    gradient: Array
    back: Array
    correction: Array


@dataclass(frozen=True)
class Problem:
    """What is fitted: windows of a log, replayed in worlds of a family."""

    replay: Replay
    windows: Windows
    channels: Channels

    def residuals(self, shares: Array, choice: IntArray, offsets: Array) -> Array:
        """Readings of the log minus those of m replays, in units of the scale, (m, rows, k).

        The k columns are the channels that are used.
        """
        shown = self.replay.run(shares, self.windows, choice, offsets)
        used = self.channels.used
        gap = (self.windows.observations[choice][:, :, used] - shown[:, :, used]) / (
            self.channels.scale[used]
        )
        return np.where(np.isfinite(gap), gap, LOST)


def start(problem: Problem, shares: Array) -> Fit:
    """A fit at the `shares`, delays at whole physics steps, with the states as estimated."""
    shares = problem.replay.family.snapped(shares)
    offsets = np.zeros((len(problem.windows), 2 * problem.replay.model.nv))
    return _with_noise(problem, shares, offsets, _replayed(problem, shares, offsets))


def improve(problem: Problem, fit: Fit) -> tuple[Fit, float]:
    """One Gauss-Newton step, and how far it moved the shares; 0 where none is better."""
    equations = equations_at(problem, fit)
    better = _best_step(problem, fit, equations)
    if better is fit:
        return fit, 0.0
    found = _with_noise(problem, better.shares, better.offsets, better.residuals)
    return found, float(np.abs(found.shares - fit.shares).max())


def equations_at(problem: Problem, fit: Fit) -> Equations:
    """The normal equations of the shares at a fit."""
    return reduce(fit, *linearize(problem, fit))


def _with_noise(problem: Problem, shares: Array, offsets: Array, residuals: Array) -> Fit:
    """A fit with the noise of each channel as its residuals show it."""
    spread = 1.4826 * np.median(np.abs(residuals[:, 1:]), axis=(0, 1))
    noise = np.maximum(spread, QUIET)
    return Fit(shares, offsets, residuals, noise, _cost(problem, residuals, noise, shares, offsets))


def _replayed(problem: Problem, shares: Array, offsets: Array) -> Array:
    count = len(problem.windows)
    return problem.residuals(np.tile(shares, (count, 1)), np.arange(count), offsets)


def linearize(problem: Problem, fit: Fit) -> tuple[Array, Array]:
    """Slopes of the residuals: by the shares (w, rows, k, d), by the states (w, rows, k, 2 nv).

    All columns are replayed in one batch.
    """
    count, unknowns = len(problem.windows), len(fit.shares)
    shares, widths = _neighbours(fit.shares, problem.replay.family.differences)
    size = fit.offsets.shape[1]
    rows = [np.tile(one, (count, 1)) for one in shares]
    rows += [np.tile(fit.shares, (count, 1))] * size
    offsets = [fit.offsets] * len(shares)
    offsets += [fit.offsets + STATE_STEP * unit for unit in np.eye(size)]
    choice = np.tile(np.arange(count), len(rows))
    found = problem.residuals(np.concatenate(rows), choice, np.concatenate(offsets))
    runs = found.reshape(len(rows), *fit.residuals.shape)
    low, high, moved = np.split(runs, [unknowns, 2 * unknowns])
    by_share = (high - low) / widths[:, None, None, None]
    by_state = (moved - fit.residuals) / STATE_STEP
    return np.moveaxis(by_share, 0, -1), np.moveaxis(by_state, 0, -1)


def _neighbours(shares: Array, steps: Array) -> tuple[Array, Array]:
    """Shares below, then above, in every direction, (2 d, d), and how far they are apart, (d,)."""
    low = np.clip(shares - np.diag(steps), 0.0, 1.0)
    high = np.clip(shares + np.diag(steps), 0.0, 1.0)
    return np.concatenate([low, high]), np.diag(high) - np.diag(low)


def reduce(fit: Fit, by_share: Array, by_state: Array) -> Equations:
    """The normal equations of the shares, with the start states eliminated."""
    weights = _weights(fit)
    weights[:, 0] *= _shown_at_once(by_state)
    count = len(weights)
    root = np.sqrt(weights).reshape(count, -1, 1)
    rest = (root[..., 0] * fit.residuals.reshape(count, -1))[..., None]
    first = root * by_share.reshape(count, -1, by_share.shape[-1])
    second = root * by_state.reshape(count, -1, by_state.shape[-1])
    inner = np.swapaxes(second, 1, 2) @ second
    inner += STATE_PRECISION * np.eye(inner.shape[1])
    cross = np.swapaxes(second, 1, 2) @ first
    pull = -np.swapaxes(second, 1, 2) @ rest - STATE_PRECISION * fit.offsets[..., None]
    back = np.asarray(np.linalg.solve(inner, cross), dtype=np.float64)
    correction = np.asarray(np.linalg.solve(inner, pull), dtype=np.float64)
    information = np.swapaxes(first, 1, 2) @ first - np.swapaxes(cross, 1, 2) @ back
    gradient = -np.swapaxes(first, 1, 2) @ rest - np.swapaxes(cross, 1, 2) @ correction
    return Equations(information, gradient[..., 0], back, correction[..., 0])


def _shown_at_once(by_state: Array) -> Array:
    """Channels whose first reading follows from the state, (k,) of 1 or 0.

    The others, such as differences between two readings, show nothing at the start of a replay.
    """
    shows: Array = (np.abs(by_state[:, 0]).max(axis=(0, 2)) > 0).astype(np.float64)
    return shows


def _best_step(problem: Problem, fit: Fit, equations: Equations) -> Fit:
    """The best of several damped steps, or the fit itself where none is better."""
    information = equations.information.sum(axis=0) + PRIOR_PRECISION * np.eye(len(fit.shares))
    nominal = problem.replay.family.nominal
    gradient = equations.gradient.sum(axis=0) - PRIOR_PRECISION * (fit.shares - nominal)
    for damping in DAMPINGS:
        for shares in _targets(problem.replay.family, fit.shares, information, gradient, damping):
            change = shares - fit.shares
            offsets = fit.offsets + equations.correction - equations.back @ change
            residuals = _replayed(problem, shares, offsets)
            cost = _cost(problem, residuals, fit.noise, shares, offsets)
            if cost < fit.cost:
                return Fit(shares, offsets, residuals, fit.noise, cost)
    return fit


def _targets(
    family: Family, shares: Array, information: Array, gradient: Array, damping: float
) -> list[Array]:
    """Where a damped step leads, with delays at whole physics steps, or where they are now."""
    free = np.ones(len(shares), dtype=bool)
    anywhere = _damped(shares, information, gradient, damping, free)
    whole = np.where(family.is_delay, family.snapped(anywhere), shares)
    bases = [whole, shares] if (whole != shares).any() else [shares]
    return [
        _damped(shares, information, gradient, damping, ~family.is_delay, base) for base in bases
    ]


def _damped(
    shares: Array,
    information: Array,
    gradient: Array,
    damping: float,
    free: BoolArray,
    base: Array | None = None,
) -> Array:
    """A damped step of the `free` shares within the unit cube; the others go to the `base`.

    What would leave the cube stays at its boundary.
    """
    target = shares.copy() if base is None else base.copy()
    free = free.copy()
    matrix = information + damping * np.diag(np.diag(information))
    while free.any():
        right = gradient - information @ np.where(free, 0.0, target - shares)
        target[free] = shares[free] + np.linalg.solve(matrix[np.ix_(free, free)], right[free])
        outside = free & ((target < 0.0) | (target > 1.0))
        target = np.clip(target, 0.0, 1.0)
        if not outside.any():
            break
        free &= ~outside
    return target


def _weights(fit: Fit) -> Array:
    """Weights of the squared residuals, (w, rows, k): small for what is far off."""
    return (FREEDOM + 1) / (FREEDOM * fit.noise**2 + fit.residuals**2)


def _cost(problem: Problem, residuals: Array, noise: Array, shares: Array, offsets: Array) -> float:
    """The negative logarithm of the posterior density, but for a constant."""
    scaled = residuals[:, 1:] ** 2 / (FREEDOM * noise**2)
    likelihood = 0.5 * (FREEDOM + 1) * np.log1p(scaled) + np.log(noise)
    nominal = problem.replay.family.nominal
    prior = 0.5 * PRIOR_PRECISION * np.sum((shares - nominal) ** 2)
    states = 0.5 * STATE_PRECISION * np.sum(offsets**2)
    return float(likelihood.sum() + prior + states)
