"""What a log tells of the unknowns, and what of the log no member of the family explains."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from sim2real.domains.distributions.distribution import LogUniform, ShiftedLogUniform
from sim2real.identification.fit import Equations, noise_of, positive
from sim2real.identification.problem import Fit, Problem
from sim2real.identification.windows import Channels
from sim2real.task import Array, BoolArray, IntArray

RESAMPLES = 200
"""Bootstrap samples of the windows."""
CLIP = 4.0
"""Residuals beyond so many standard deviations count as this many in the test for misfit."""
CORRELATED = 0.3
"""Correlation of neighbouring residuals, from which they are no noise."""
NOTICED = 0.02
"""Misfit, as a share of a channel's change in a step, that is worth a word."""
UNKNOWN, TOGETHER, FEWEST = 0.1, 0.25, 3
"""Standard deviation of a combination of shares that counts as not determined; the smallest part,
relative to the largest, that an unknown has in it; and its unknowns, at least."""
OF_ITS_OWN, FEWEST_WINDOWS = 3.0, 3
"""Noise of one log alone, as a multiple of that of all, at which it is no noise; and its windows
that are fitted, at least."""
SAME = 0.95
"""Correlation from which two unknowns are known in combination only."""


@dataclass(frozen=True)
class Posterior:
    """A normal distribution of d shares: `mean` (d,), `covariance` (d, d).

    `logarithmic` tells which shares are those of a factor.
    """

    names: tuple[str, ...]
    mean: Array
    covariance: Array
    logarithmic: tuple[bool, ...]

    @property
    def std(self) -> Array:
        """Standard deviations of the shares, (d,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> Array:
        """The correlation matrix, (d, d)."""
        correlation: Array = self.covariance / np.outer(self.std, self.std)
        return correlation

    @property
    def together(self) -> IntArray:
        """The unknowns of which the log does not show how large they are together; or none."""
        values, vectors = np.linalg.eigh(self.covariance)
        direction = np.abs(vectors[:, -1])
        rows = np.flatnonzero(direction > TOGETHER * direction.max())
        undetermined = np.sqrt(values[-1]) >= UNKNOWN and len(rows) >= FEWEST
        return rows if undetermined else rows[:0]

    def common(self) -> tuple[str, ...]:
        """Unknowns of which the log shows the proportions only, in words."""
        names = ", ".join(self.names[row] for row in self.together.tolist())
        if not names:
            return ()
        return (f"how large {names} are together is not determined, only their proportions",)

    def combinations(self) -> tuple[str, ...]:
        """Pairs of unknowns of which the log shows a combination only, in words.

        Those of which it shows the proportions are left to `common`.
        """
        found = []
        correlation, together = self.correlation, self.together.tolist()
        for row, column in np.argwhere(np.triu(np.abs(correlation) > SAME, 1)).tolist():
            if row in together and column in together:
                continue
            value = correlation[row, column]
            both_log = self.logarithmic[row] and self.logarithmic[column]
            what = _COMBINATIONS[both_log, value < 0]
            found.append(
                f"{self.names[row]} and {self.names[column]}: only their {what} is determined "
                f"(correlation {value:.2f})"
            )
        return tuple(found)


_COMBINATIONS = {
    (False, True): "sum",
    (False, False): "difference",
    (True, True): "product",
    (True, False): "ratio",
}
"""What is determined of two unknowns: on a linear or logarithmic scale, negatively correlated or
not; of a sum on the scale of their ranges."""


def posterior_of(
    problem: Problem, fit: Fit, equations: Equations, rng: np.random.Generator
) -> Posterior:
    """The Laplace approximation, widened where a bootstrap over the windows spreads wider.

    Laplace takes the residuals for independent; windows of one motion are not. A bootstrap of the
    windows does not need that (Efron 1979): its estimates follow from the normal equations of the
    windows that are drawn, without another replay. Each principal axis is widened by itself, at
    most to the prior, so proportions stay as well known as they are. The spread is a scaled median
    absolute deviation, because a few samples leave out the only window that determines an axis.
    """
    prior = np.diag(problem.replay.family.prior_information(fit.shares))
    values, axes = np.linalg.eigh(np.linalg.inv(equations.total + prior))
    drawn = np.array([_resampled(equations, prior, rng) for _ in range(RESAMPLES)]) @ axes
    most = 1.0 / np.einsum("ik,ij,jk->k", axes, prior, axes)
    spread = (1.4826 * np.median(np.abs(drawn), axis=0)) ** 2
    widened = np.maximum(values, np.minimum(spread, most))
    covariance: Array = (axes * widened) @ axes.T
    family = problem.replay.family
    logarithmic = tuple(
        isinstance(base, LogUniform | ShiftedLogUniform) for base in family.space.bases
    )
    return Posterior(family.names, fit.shares, covariance, logarithmic)


def _resampled(equations: Equations, prior: Array, rng: np.random.Generator) -> Array:
    """The change of the shares that windows drawn with replacement ask for, (d,)."""
    count = len(equations.gradient)
    times = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
    information = positive(np.tensordot(times, equations.information, axes=1)) + prior
    gradient = times @ (equations.gradient - equations.gradient.mean(axis=0))
    change: Array = np.linalg.solve(information, gradient)
    return change


@dataclass(frozen=True)
class Misfit:
    """What remains of a log: noise, and what is no noise. All (k,), in units of the log.

    Noise has no memory. So the covariance of neighbouring residuals of a replay is what the family
    does not explain (a test for whiteness, Ljung and Box 1978). `correlation` is that of the
    neighbours; `change` is a channel's typical change in a step. `log` is the number of
    the log that it is of; 0: all.
    """

    names: tuple[str, ...]
    unexplained: Array
    noise: Array
    correlation: Array
    change: Array
    log: int = 0

    @property
    def noticed(self) -> tuple[str, ...]:
        """The channels that are not explained."""
        clear = (self.correlation > CORRELATED) & (self.unexplained > NOTICED * self.change)
        return tuple(name for name, one in zip(self.names, clear, strict=True) if one)

    @property
    def sentence(self) -> str:
        """Whether the family explains the log, in words."""
        if not self.noticed:
            return "the family explains this log down to its noise"
        worst = int(np.argmax(self.unexplained / self.change))
        what = f"log {self.log} together with the others" if self.log else "this log"
        return (
            f"the family does not explain {what}: {len(self.noticed)} of {len(self.names)} "
            f"channels differ by more than noise, most of all {self.names[worst]} by "
            f"{self.unexplained[worst]:.3g} where it changes by {self.change[worst]:.3g} in a step"
        )


def _alone(fit: Fit, some: BoolArray) -> Fit:
    """The fit of some windows, with their own noise."""
    residuals, offsets = fit.residuals[some], fit.offsets[some]
    noise = noise_of(residuals, offsets.shape[1])
    return dataclasses.replace(fit, residuals=residuals, offsets=offsets, noise=noise)


def misfit_of(channels: Channels, fit: Fit) -> Misfit:
    """The misfit of each channel that is used, from the residuals of a fit."""
    scaled = np.clip(fit.residuals[:, 1:] / fit.noise[1:], -CLIP, CLIP)
    noise = np.median(fit.noise[1:], axis=0)
    power = np.mean(scaled**2, axis=(0, 1))
    neighbours = np.mean(scaled[:, 1:] * scaled[:, :-1], axis=(0, 1))
    correlation = neighbours / np.maximum(power, 1e-12)
    change = channels.scale[channels.used]
    smooth = np.clip(correlation, 0.0, 1.0)
    return Misfit(
        names=tuple(name for name, one in zip(channels.names, channels.used, strict=True) if one),
        unexplained=change * noise * np.sqrt(smooth * power),
        noise=change * noise * np.sqrt(1.0 - smooth),
        correlation=correlation,
        change=change,
    )


def misfit_of_logs(channels: Channels, fit: Fit, logs: IntArray) -> Misfit:
    """The misfit of a fit to windows of several `logs` (w,), numbers from 1 on.

    Noise is that of most windows, to which those of a log of another world are outliers. So where
    all windows together are explained, each log is looked at with its own noise: where that is far
    larger, and no noise, the misfit is that of this log.
    """
    found = misfit_of(channels, fit)
    if found.noticed:
        return found
    alone = {log: _alone(fit, logs == log) for log in np.unique(logs).tolist()}
    sizes = {log: float(np.median(one.noise / fit.noise)) for log, one in alone.items()}
    for log in sorted(sizes, key=lambda log: -sizes[log]):
        own = dataclasses.replace(misfit_of(channels, alone[log]), log=log)
        enough = len(alone[log].residuals) >= FEWEST_WINDOWS
        if enough and sizes[log] > OF_ITS_OWN and own.noticed:
            return own
    return found
