"""Interval estimates for few runs: interquartile means, bootstrap, paired differences.

Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice",
NeurIPS: report the interquartile mean over runs and tasks with percentile intervals of a bootstrap
that resamples the runs of each task on their own (stratified).

Everything that draws takes a `np.random.Generator`. Samples are (seeds, episodes) arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Floats = NDArray[np.float64]
Resampled = Literal["seeds", "episodes", "seeds and episodes", "nothing"]

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value with its interval, and what was resampled to get the interval.

    `low` and `high` are NaN where resampling does not determine them (a share of a gap that may
    be none).
    """

    value: float
    low: float
    high: float
    resampled: Resampled = "seeds"

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def iqm(values: Floats, axis: int | None = None) -> Floats:
    """Interquartile mean: the mean of the middle half along `axis` (None: of all values).

    Of n values the int(n / 4) smallest and largest are left out, as `scipy.stats.trim_mean`
    does: below four values nothing is, and it is the mean.
    """
    values = np.asarray(values, dtype=float)
    if axis is None:
        values, axis = values.reshape(-1), 0
    count = values.shape[axis]
    if not count:
        raise ValueError("the interquartile mean of no values")
    cut = int(0.25 * count)
    middle = np.take(np.sort(values, axis=axis), np.arange(cut, count - cut), axis=axis)
    return np.asarray(middle.mean(axis=axis))


def stratified_bootstrap(
    strata: Sequence[Floats],
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Interquartile mean over all runs of all strata (targets), with its percentile interval.

    Each stratum is (seeds, episodes): one run's value is its mean over the episodes. Every
    resample draws the runs of each stratum anew, independently of the other strata. Where a
    stratum has one seed only, its episodes are drawn instead, and the result says so.
    """
    samples = [_matrix(stratum) for stratum in strata]
    if not samples:
        raise ValueError("a bootstrap of no strata")
    value = iqm(np.concatenate([sample.mean(axis=1) for sample in samples]))
    draws = np.concatenate([_run_means(sample, rng, resamples) for sample in samples], axis=1)
    kinds = {"episodes" if len(sample) == 1 else "seeds" for sample in samples}
    resampled: Resampled = "seeds" if kinds == {"seeds"} else "episodes"
    if len(kinds) == 2:
        resampled = "seeds and episodes"
    return _percentiles(float(value), iqm(draws, axis=1), level, resampled)


def paired_difference(
    first: Floats,
    second: Floats,
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Mean of `first - second`, paired by seed and episode, with its two-level interval.

    Both are (seeds, episodes), with the same seed and the same world in the same place. Every
    resample draws seeds with replacement and then, within each seed drawn, episodes; with one
    seed it draws episodes only, and the result says so: it speaks for that one run.
    """
    if np.shape(first) != np.shape(second):
        raise ValueError(f"not paired: {np.shape(first)} against {np.shape(second)}")
    difference = _matrix(first) - _matrix(second)
    return bootstrap(lambda sample: sample.mean(axis=-1), [difference], rng, resamples, level)


def unpaired_difference(
    first: Floats,
    second: Floats,
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """Mean of `first`, (n,), minus mean of `second`, (m,), each resampled on its own."""
    draws = []
    for sample in (np.asarray(first, dtype=float), np.asarray(second, dtype=float)):
        drawn = rng.integers(len(sample), size=(resamples, len(sample)))
        draws.append(sample[drawn].mean(axis=1))
    value = float(np.mean(first) - np.mean(second))
    return _percentiles(value, draws[0] - draws[1], level, "episodes")


def proportion(count: int, total: int, *, level: float = LEVEL) -> Interval:
    """The share `count` of `total` episodes, with its Wilson score interval.

    Wilson (1927); it keeps its width where all or none succeed, which resampling does not.
    """
    found = binomtest(count, total).proportion_ci(level, method="wilson")
    return Interval(count / total, float(found.low), float(found.high), "nothing")


def bootstrap(
    statistic: Callable[..., Floats],
    samples: Sequence[Floats],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """`statistic` of several paired samples, with its two-level percentile interval.

    Each sample is (seeds, episodes). Seeds, and episodes within a seed, are drawn once for all
    samples, so that what belongs together stays together; each drawn sample is then pooled into
    one axis: `statistic` gets arrays (..., values) and reduces the last axis. Samples may differ
    in their number of episodes, which are then drawn each on their own.

    If some resamples have no statistic (NaN), the interval is NaN.
    """
    matrices = [_matrix(sample) for sample in samples]
    seeds = {len(matrix) for matrix in matrices}
    if len(seeds) != 1:
        raise ValueError(f"paired samples have the same seeds, got {sorted(seeds)}")
    count = seeds.pop()
    value = float(statistic(*(matrix.reshape(-1) for matrix in matrices)))
    draws = np.empty(resamples)
    for index in range(resamples):
        chosen = rng.integers(count, size=(count, 1))
        episodes = {
            width: rng.integers(width, size=(count, width))
            for width in sorted({matrix.shape[1] for matrix in matrices})
        }
        drawn = (matrix[chosen, episodes[matrix.shape[1]]] for matrix in matrices)
        draws[index] = float(statistic(*(matrix.reshape(-1) for matrix in drawn)))
    return _percentiles(value, draws, level, "episodes" if count == 1 else "seeds and episodes")


def _run_means(sample: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """(resamples, seeds) means of the runs of one stratum, drawn with replacement."""
    seeds, episodes = sample.shape
    if seeds == 1:
        drawn = rng.integers(episodes, size=(resamples, episodes))
        return np.asarray(sample[0, drawn].mean(axis=1, keepdims=True))
    return np.asarray(sample.mean(axis=1)[rng.integers(seeds, size=(resamples, seeds))])


def _percentiles(value: float, draws: Floats, level: float, resampled: Resampled) -> Interval:
    tail = 50 * (1 - level)
    low, high = np.percentile(draws, [tail, 100 - tail])  # NaN if any draw is
    return Interval(value, float(low), float(high), resampled)


def _matrix(sample: Floats) -> Floats:
    """The sample as (seeds, episodes), refused if it is empty or of another shape."""
    matrix = np.asarray(sample, dtype=float)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"a sample is (seeds, episodes) and not empty, got {matrix.shape}")
    return matrix
