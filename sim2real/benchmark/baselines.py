"""Other ways to find parameters from logs, on the replays of our batch: SimOpt's and DROPO's.

SimOpt (Chebotar et al. 2019, arXiv:1810.05687) searches the parameters whose trajectories are
nearest to the recorded ones. DROPO (Tiboni et al. 2023, arXiv:2201.08434) searches the normal
distribution of parameters under which the recorded transitions are likeliest. Both searches are
CMA-ES of the package `cma`, of the extra [identify].
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sim2real.identification.problem import Problem
from sim2real.task import Array

ABSOLUTE, SQUARED = 0.5, 1.0
"""Weights of the two parts of SimOpt's discrepancy."""
SPREAD = 0.2
"""Standard deviation of the first candidates, as a share of the range."""
DRAWS, TRANSITIONS = 20, 50
"""Parameters that DROPO draws for a transition, and the transitions that it looks at."""
NARROWEST, WIDEST = 0.003, 0.3
"""Standard deviations of a share in DROPO's distributions."""

Costs = Callable[[Array], Array]
"""Costs (m,) of m candidates (m, n) in the unit cube."""


def has_cma() -> bool:
    """Whether the package `cma` is installed."""
    return importlib.util.find_spec("cma") is not None


def simopt(problem: Problem, budget: int, seed: int) -> Array:
    """The shares (d,) at which SimOpt's discrepancy is least, after `budget` control steps."""
    windows = np.arange(len(problem.windows))

    def costs(shares: Array) -> Array:
        rows = np.repeat(shares, len(windows), axis=0)
        choice = np.tile(windows, len(shares))
        gaps = problem.residuals(rows, choice, problem.aligned(rows, choice))[:, 1:]
        found: Array = discrepancy(gaps).reshape(len(shares), -1).mean(axis=1)
        return found

    return _last(_search(costs, problem.replay.family.nominal, seed), problem, budget)


def discrepancy(gaps: Array) -> Array:
    """SimOpt's distances of m trajectories from the recorded ones, (m,); `gaps` (m, rows, k)."""
    found: Array = ABSOLUTE * np.abs(gaps).sum(axis=(1, 2)) + SQUARED * (gaps**2).sum(axis=(1, 2))
    return found


def dropo(problem: Problem, budget: int, seed: int, epsilon: Array) -> Array:
    """The means (d,) of the shares that DROPO finds, after `budget` control steps.

    The windows of the `problem` are the transitions. `epsilon` (k,) is added to the variances of
    what is simulated, in squares of the channels' scales.
    """
    rng = np.random.default_rng(seed)
    nominal = problem.replay.family.nominal
    count = min(TRANSITIONS, len(problem.windows))
    windows = rng.choice(len(problem.windows), count, replace=False)

    def costs(points: Array) -> Array:
        noise = rng.standard_normal((DRAWS, len(nominal)))  # the same for all candidates
        drawn = np.stack([drawn_shares(point, noise) for point in points])
        rows = np.repeat(drawn.reshape(-1, len(nominal)), count, axis=0)
        choice = np.tile(windows, len(points) * DRAWS)
        gaps = problem.residuals(rows, choice, problem.aligned(rows, choice))[:, -1]
        return np.array(
            [
                -log_likelihood(np.swapaxes(own, 0, 1), epsilon).mean()
                for own in gaps.reshape(len(points), DRAWS, count, -1)
            ]
        )

    middle = np.concatenate([nominal, np.full(len(nominal), 0.75)])
    return _last(_search(costs, middle, seed), problem, budget)[: len(nominal)]


def drawn_shares(point: Array, noise: Array) -> Array:
    """Shares (n, d) of the normal distribution that a candidate (2 d,) stands for, cut at its ends.

    Means come first, then the place of each standard deviation between NARROWEST and WIDEST on a
    logarithmic scale. `noise` (n, d) are standard normal numbers.
    """
    mean, place = np.split(point, 2)
    std = NARROWEST * (WIDEST / NARROWEST) ** place
    found: Array = np.clip(mean + std * noise, 0.0, 1.0)
    return found


def log_likelihood(gaps: Array, epsilon: Array) -> Array:
    """The logarithms of the densities of t observed states, (t,), under normal distributions.

    `gaps` (t, n, k) are observed minus n simulated states; mean and covariance are theirs, and
    `epsilon` (k,) is added to the variances.
    """
    mean = gaps.mean(axis=1)
    centred = gaps - mean[:, None]
    covariance = np.swapaxes(centred, 1, 2) @ centred / max(gaps.shape[1] - 1, 1)
    covariance += np.diag(epsilon)
    squares = np.einsum("tk,tk->t", mean, np.linalg.solve(covariance, mean[..., None])[..., 0])
    found: Array = -0.5 * (
        squares + np.linalg.slogdet(covariance)[1] + gaps.shape[2] * np.log(2 * np.pi)
    )
    return found


def _search(costs: Costs, middle: Array, seed: int) -> Iterator[Array]:
    """The mean (n,) of the distribution after each generation of CMA-ES, until it converges."""
    cma: Any = importlib.import_module("cma")
    options = {"bounds": [0.0, 1.0], "seed": seed + 1, "verbose": -9}
    search = cma.CMAEvolutionStrategy(middle, SPREAD, options)
    while not search.stop():
        candidates = search.ask()
        search.tell(candidates, costs(np.array(candidates)).tolist())
        yield np.clip(search.result.xfavorite, 0.0, 1.0)


def _last(search: Iterator[Array], problem: Problem, budget: int) -> Array:
    """The result of a search after `budget` simulated control steps, or at its end."""
    last = problem.replay.simulated + budget
    found = next(search)
    for one in search:
        found = one
        if problem.replay.simulated >= last:
            break
    return found
