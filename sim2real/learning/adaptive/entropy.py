"""One update of DORAEMON: the widest distribution near the present one that still succeeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy

from sim2real.learning.adaptive.beta import (
    divergence,
    divergence_gradient,
    entropy,
    entropy_gradient,
    log_density,
    log_density_gradient,
)
from sim2real.task import Array, BoolArray

LARGEST = 500.0
"""Shapes lie in [1, LARGEST]: from uniform to a peak of 3 % of the range, never two peaks."""
TOLERANCE = 1e-6
OPTIONS = {"maxiter": 100, "ftol": 1e-7}
"""Of the solver, scipy's SLSQP."""
CLOSEST = 1e-9
"""Points are kept this far from the ends of [0, 1], where logarithms have no value."""


@dataclass(frozen=True)
class Update:
    """The new `shapes` (d, 2), and what the episodes show of them."""

    shapes: Array
    divergence: float
    """KL(new || old), nats."""
    success_rate: float
    """Estimated for the new distribution, by importance sampling."""
    effective_episodes: float
    """Effective sample size of that estimate (Kish 1965): (sum of weights)^2 / sum of squares."""


class EntropyProblem:
    """Maximize the entropy subject to a success rate and a trust region, from m episodes.

    `shapes` (d, 2) is the distribution that the `points` (m, d) were drawn from, `succeeded` (m,)
    whether each succeeded. With weights w = p_new(x) / p_old(x), the success rate of a new
    distribution is estimated as the mean of w over the episodes that succeeded, 0 for the others.
    """

    def __init__(self, shapes: Array, points: Array, succeeded: BoolArray, limit: float) -> None:
        self.old = shapes
        inside = np.clip(points, CLOSEST, 1 - CLOSEST)
        self._logs = np.stack([np.log(inside), np.log1p(-inside)], axis=2)
        self._succeeded = np.asarray(succeeded, dtype=bool)
        self._log_old = log_density(shapes, self._logs)
        self.limit = limit

    def weights(self, shapes: Array) -> Array:
        """p_new / p_old at each point, (m,)."""
        value: Array = np.exp(np.minimum(log_density(shapes, self._logs) - self._log_old, 50.0))
        return value

    def success_rate(self, shapes: Array) -> float:
        """Importance-sampling estimate of the success rate under `shapes`."""
        return float(np.mean(self.weights(shapes) * self._succeeded))

    def success_gradient(self, shapes: Array) -> Array:
        """Gradient of `success_rate` by the shapes, (d, 2)."""
        weights = self.weights(shapes) * self._succeeded / len(self._succeeded)
        value: Array = np.tensordot(weights, log_density_gradient(shapes, self._logs), axes=1)
        return value

    def room(self, shapes: Array) -> float:
        """The room that is left in the trust region; negative outside."""
        return self.limit - divergence(shapes, self.old)

    def describe(self, shapes: Array) -> Update:
        """`shapes` as an update."""
        weights = self.weights(shapes)
        effective = float(weights.sum() ** 2 / np.sum(weights**2))
        moved = divergence(shapes, self.old)
        return Update(shapes, moved, self.success_rate(shapes), effective)


def widen(
    shapes: Array, points: Array, succeeded: BoolArray, success_rate: float, limit: float
) -> Update:
    """The next distribution, within KL(new || old) <= `limit`.

    If the episodes reach `success_rate`, it has the largest entropy that still does. If not, it has
    the largest success rate; where that is enough, the entropy is maximized from there.
    Shapes: `shapes` (d, 2), `points` (m, d) in [0, 1], `succeeded` (m,).
    """
    problem = EntropyProblem(shapes, points, succeeded, limit)
    start = shapes
    if problem.success_rate(shapes) < success_rate:
        start = _solve(problem, shapes, problem.success_rate, problem.success_gradient, None)
        if problem.success_rate(start) < success_rate:
            return problem.describe(start)
    widest = _solve(problem, start, _total_entropy, entropy_gradient, success_rate)
    return problem.describe(widest)


def _total_entropy(shapes: Array) -> float:
    return float(entropy(shapes).sum())


def _solve(
    problem: EntropyProblem,
    start: Array,
    objective: Callable[[Array], float],
    gradient: Callable[[Array], Array],
    success_rate: float | None,
) -> Array:
    """Maximize `objective` from `start`, in the logarithms of the shapes, within the constraints.

    What the solver returns is drawn back towards `start`, which must be feasible, until it is too.
    """

    def unpack(x: Array) -> Array:
        return np.exp(x).reshape(start.shape)

    def chain(slope: Array, x: Array) -> Array:  # d/d(ln shape) = shape * d/d(shape)
        value: Array = slope.reshape(-1) * np.exp(x)
        return value

    def constraint(value: Callable[[Array], float], slope: Callable[[Array], Array]) -> Any:
        return {
            "type": "ineq",
            "fun": lambda x: value(unpack(x)),
            "jac": lambda x: chain(slope(unpack(x)), x),
        }

    constraints = [constraint(problem.room, lambda s: -divergence_gradient(s, problem.old))]
    if success_rate is not None:
        spare = constraint(
            lambda s: problem.success_rate(s) - success_rate, problem.success_gradient
        )
        constraints.append(spare)
    x = np.log(start).reshape(-1)
    found = cast(Any, scipy.optimize.minimize)(
        lambda x: -objective(unpack(x)),
        x,
        jac=lambda x: -chain(gradient(unpack(x)), x),
        bounds=scipy.optimize.Bounds(0.0, np.log(LARGEST)),
        constraints=constraints,
        method="SLSQP",
        options=OPTIONS,
    )
    best = unpack(_drawn_back(problem, x, np.asarray(found.x), unpack, success_rate))
    return best if objective(best) > objective(start) else start


def _drawn_back(
    problem: EntropyProblem,
    start: Array,
    end: Array,
    unpack: Callable[[Array], Array],
    success_rate: float | None,
) -> Array:
    """The farthest feasible point found by halving the way from `start` to `end`."""
    if not np.isfinite(end).all():
        return start
    end = np.maximum(end, 0.0)
    for part in 0.5 ** np.arange(20):
        x: Array = start + part * (end - start)
        shapes = unpack(x)
        enough = success_rate is None or problem.success_rate(shapes) >= success_rate - TOLERANCE
        if enough and problem.room(shapes) >= -TOLERANCE:
            return x
    return start
