"""Bounds and p values over arrays: what `statistics` is computed by, for one study or thousands.

Every function reduces the last axis, the units, and keeps those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri, stdtr, stdtrit

Floats = NDArray[np.float64]
Numbers = float | Floats
LEVEL = 0.95
MOST = 2.0
"""By how much the correction for skewness may widen a t interval on either side."""
TINY, HUGE = np.finfo(float).tiny, 1e50


@dataclass(frozen=True)
class Spread:
    """How a sum of means of independent groups varies: arrays of one shape, (studies,) or ().

    `error` is its standard error, `freedom` the degrees of freedom of that, `skewness` that of the
    sum (for one group that of the units, divided by the root of their number).
    """

    error: Floats
    freedom: Floats
    skewness: Floats


def spread(groups: Sequence[Floats]) -> Spread:
    """The spread of the sum of the means of `groups`, each (..., units); three units at least.

    Variance and third moment are those without bias (Fisher's k-statistics).
    """
    centred = [group - group.mean(axis=-1, keepdims=True) for group in groups]
    counts = [group.shape[-1] for group in groups]
    variances = [(c**2).sum(axis=-1) / (n - 1) / n for c, n in zip(centred, counts, strict=True)]
    thirds = [
        (c**3).sum(axis=-1) / ((n - 1) * (n - 2)) / n for c, n in zip(centred, counts, strict=True)
    ]
    variance = np.asarray(sum(variances))
    below = sum(v**2 / (n - 1) for v, n in zip(variances, counts, strict=True))
    freedom = _divided(variance**2, np.asarray(below), max(counts, default=2) - 1)
    skewness = _divided(np.asarray(sum(thirds)), variance**1.5, 0)
    return Spread(np.sqrt(variance), freedom, skewness)


def bounds(value: Numbers, about: Spread, level: float = LEVEL) -> tuple[Floats, Floats]:
    """The hull of the t interval and of that corrected for skewness; arrays shaped as `value`."""
    reach = _t_quantile(about.freedom, level)
    below = np.clip(_skewed(reach, about.skewness), reach, MOST * reach)
    above = np.clip(-_skewed(-reach, about.skewness), reach, MOST * reach)
    return value - about.error * below, value + about.error * above


def p_value(value: Numbers, about: Spread) -> Floats:
    """The two-sided p of a true value of 0: below 1 - level where `bounds` exclude 0."""
    with np.errstate(over="ignore"):  # where all units agree
        t = np.clip(value / np.maximum(about.error, TINY), -HUGE, HUGE)
    corrected = np.clip(np.abs(_hall(t, about.skewness)), np.abs(t) / MOST, np.abs(t))
    return np.asarray(2 * stdtr(about.freedom, -corrected))


def _hall(t: Floats, skewness: Floats) -> Floats:
    """Hall's cubic of a t statistic, t + g t²/3 + g² t³/27 + g/6, which always rises."""
    return np.asarray(t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6)


def _skewed(reach: Floats, skewness: Floats) -> Floats:
    """The inverse of Hall's cubic."""
    flat = np.abs(skewness) < 1e-6  # too small to divide by
    g = np.where(flat, 1.0, skewness)
    return np.where(flat, reach, 3 / g * (np.cbrt(1 + g * (reach - g / 6)) - 1))


def independent_episodes(shares: Floats, episodes: int, level: float = LEVEL) -> Floats:
    """How many independent episodes say as much as those of the seeds; `shares` is (..., seeds)."""
    seeds, mean = shares.shape[-1], shares.mean(axis=-1)
    total = seeds * episodes
    found = _divided(mean * (1 - mean), shares.var(axis=-1, ddof=1) / seeds, total)
    few = (ndtri(0.5 + level / 2) / _t_quantile(seeds - 1, level)) ** 2
    return np.asarray(np.minimum(found * few, total))


def exact_binomial(share: Numbers, episodes: Numbers, level: float) -> tuple[Floats, Floats]:
    """Clopper & Pearson's interval of a share of `episodes`, which need not be whole numbers."""
    hits, tail = np.asarray(share * episodes, dtype=float), 0.5 - level / 2
    misses = np.asarray(episodes - hits, dtype=float)
    low = betaincinv(np.maximum(hits, TINY), misses + 1, tail)
    high = betaincinv(hits + 1, np.maximum(misses, TINY), 1 - tail)
    return np.where(hits <= 0, 0.0, low), np.where(misses <= 0, 1.0, high)


def _t_quantile(freedom: Numbers, level: float) -> Floats:
    """How many standard errors a two-sided t interval reaches."""
    return np.asarray(stdtrit(freedom, 0.5 + level / 2), dtype=float)


def _divided(above: Floats, below: Floats, instead: float) -> Floats:
    """above / below, and `instead` where below is 0."""
    zero = below <= 0
    return np.where(zero, instead, above / np.where(zero, 1.0, below))
