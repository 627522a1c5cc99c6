"""How many seeds and episodes an evaluation needs, planned from a pilot.

The units of an interval are seeds, or the episodes of a single policy (see `statistics`). A sample
size promises a width that `ASSURED` of all evaluations keep, if the units are normal: a quantile of
the width over synthetic evaluations. Their standard deviation is not known, only estimated from
the pilot, so it is drawn for each of them: the estimate divided by what a chi-squared draw says
about its error. The variance of a seed's mean is put together from such draws for the two mean
squares of the pilot (the generalized pivotal quantity of Weerahandi 1993, "Generalized confidence
intervals", J. Am. Stat. Assoc. 88). The probability that a sample size keeps what it promises is
its assurance: O'Hagan, Stevens & Campbell (2005), "Assurance in clinical trial design",
Pharmaceutical Statistics 4.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim2real.config import MOST_EPISODES
from sim2real.errors import UserError, brief, unknown, whole_number
from sim2real.evaluation.bounds import Floats, bounds, spread
from sim2real.evaluation.rollout import Row, by_domain, returns
from sim2real.evaluation.statistics import FEWEST, LARGEST, checked_returns

ASSURED = 0.8
"""The share of evaluations whose interval is at most as wide as promised, for normal units."""
MOST_UNITS = 1000
"""Seeds, or episodes of a single policy, of a plan, at most."""
STUDIES = 2000
"""Synthetic evaluations from which a promise is computed."""
EPISODES = (5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class SampleSize:
    """This many `seeds` with `episodes` each; the interval has at most this `width`, high - low.

    With one seed the interval is that of a single policy, over its episodes.
    """

    seeds: int
    episodes: int
    width: float


def plan(
    pilot: ArrayLike, width: float, episodes: Sequence[int] = EPISODES
) -> tuple[SampleSize, ...]:
    """The fewest seeds for an interval of at most `width`, for each number of `episodes`.

    `pilot` has the returns of a pilot, (seeds, episodes); `width` has their unit. The variance of a
    seed's mean is that between seeds plus that between the episodes of a seed, divided by their
    number. A number of episodes that would need more than 1000 seeds is left out. A pilot of one
    seed plans the number of episodes of this policy: one sample size, and `episodes` has no effect.

    Raises UserError for a pilot of fewer than 3 seeds (or 3 episodes of one seed), of one episode
    per seed or without any spread, for a width that is not above 0, and if no sample size reaches
    the width.

    >>> plan([[990.0, 1010.0, 1030.0, 960.0, 1000.0]], width=50.0)[0].episodes > 5
    True
    """
    found = checked_returns(pilot)
    if isinstance(width, bool) or not 0 < width <= LARGEST:
        raise UserError(f"width is {brief(width)}; allowed: a number above 0, up to {LARGEST:g}")
    seeds, count = found.shape
    single = seeds == 1
    what, units = ("episodes of one policy", count) if single else ("seeds", seeds)
    if units < FEWEST:
        raise UserError(f"the pilot has {units} {what}; it needs at least {FEWEST}")
    if count < 2:
        raise UserError("the pilot has 1 episode per seed; it needs at least 2")
    if not episodes:
        raise UserError("episodes is empty; give at least one number of episodes per seed")
    numbers = [whole_number("episodes", one, 1, MOST_EPISODES) for one in episodes]
    if single:
        deviations = {1: found.std(ddof=1) / _relative(count - 1, 0)}
    else:
        deviations = {one: _of_means(found, one) for one in numbers}
    if not max(one.max() for one in deviations.values()) > 0:
        raise UserError("all returns of the pilot are equal; their spread cannot be estimated")
    needed = {one: _fewest(deviation, width) for one, deviation in deviations.items()}
    sizes = tuple(
        SampleSize(1 if single else n, n if single else one, _promised(deviations[one], n))
        for one, n in needed.items()
        if n is not None
    )
    if not sizes:
        least = min(_promised(one, MOST_UNITS) for one in deviations.values())
        raise UserError(
            f"{MOST_UNITS} {what} do not reach a width of {width:g}, only {least:.3g}; plan for a "
            "larger width"
        )
    return sizes


def pilot_returns(seeds: Sequence[Sequence[Row]], domain: str | None = None) -> Floats:
    """The returns (seeds, episodes) of a pilot: the rows of one evaluation per seed.

    Those of `domain`, which may be left out where there is only one. Raises UserError for no rows,
    an unknown domain, and seeds with different numbers of episodes.
    """
    names = list(by_domain(row for rows in seeds for row in rows))
    if not names:
        raise UserError("the pilot has no episodes")
    if domain is None and len(names) > 1:
        raise UserError(f"the pilot has {len(names)} domains; choose one of {', '.join(names)}")
    chosen = names[0] if domain is None else domain
    if chosen not in names:
        raise unknown("domain of the pilot", chosen, names)
    parts = [[row for row in rows if row.domain == chosen] for rows in seeds]
    counts = [len(part) for part in parts]
    if len(set(counts)) > 1:
        raise UserError(
            f"the seeds of the pilot have {', '.join(map(str, counts))} episodes in {chosen}; "
            "allowed: the same number for each"
        )
    return np.array([returns(part) for part in parts])


def _of_means(found: Floats, episodes: int) -> Floats:
    """Likely standard deviations of a seed's mean over this many episodes, (STUDIES,)."""
    seeds, count = found.shape
    of_means = found.mean(axis=1).var(ddof=1) / _relative(seeds - 1, 0) ** 2
    within = found.var(axis=1, ddof=1).mean() / _relative(seeds * (count - 1), 1) ** 2
    between = np.maximum(of_means - within / count, 0.0)
    return np.asarray(np.sqrt(between + within / episodes))


def _fewest(deviations: Floats, width: float) -> int | None:
    """The fewest units that promise the width; None if MOST_UNITS do not."""
    high = FEWEST
    while high < MOST_UNITS and _promised(deviations, high) > width:
        high = min(2 * high, MOST_UNITS)
    found = bisect.bisect_left(
        range(high + 1),
        True,
        lo=max(FEWEST, high // 2),
        key=lambda units: _promised(deviations, units) <= width,
    )
    return found if found <= high else None


def _promised(deviations: Floats, units: int) -> float:
    """The width that this many units promise, for likely `deviations` (STUDIES,) of them."""
    return float(np.quantile(deviations * _widths(units), ASSURED))


@functools.cache
def _relative(freedom: int, seed: int) -> Floats:
    """Estimated standard deviations divided by the true one, (STUDIES,).

    Always the same random numbers, so that the same pilot has the same plan.
    """
    draws = np.random.default_rng([1, seed]).chisquare(freedom, STUDIES)
    return np.sqrt(draws / freedom)


@functools.cache
def _widths(units: int) -> Floats:
    """The widths of the intervals of normal units of standard deviation 1, (STUDIES,)."""
    samples = np.random.default_rng(0).standard_normal((STUDIES, units))
    low, high = bounds(samples.mean(axis=1), spread([samples]))
    return high - low
