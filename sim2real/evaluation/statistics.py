"""Intervals and verdicts from few seeds, calibrated from three seeds up.

A training is one draw: its episodes say how good its policy is, other seeds how good the method is.
So the unit is the seed, and its value the mean over its episodes. An interval is the hull of two:

- Student's t on the units, with the degrees of freedom of Welch (1947) and Satterthwaite (1946)
  where several independent groups enter;
- the same after the transformation of Hall (1992), "On the removal of skewness by
  transformation", J. R. Stat. Soc. B 54, which corrects t for the skewness of the units; it widens
  t on either side at most by a factor of 2.

The p value is the larger of the two, so that it is below 1 - level where the interval excludes 0.
Of 40,000 synthetic studies with 3 / 5 / 10 seeds the 95 % interval holds the true mean in

    seeds                                     this                    Student's t alone
    normal                                    96.8 / 96.6 / 96.1 %    95.1 / 95.1 / 95.0 %
    log-normal, skewness 1.75                 94.9 / 94.3 / 94.8 %    92.3 / 91.4 / 92.1 %
    exponential, skewness 2                   92.1 / 92.7 / 94.6 %    88.4 / 88.0 / 89.9 %
    a third of the episodes fall              95.8 / 95.7 / 96.3 %    93.7 / 93.6 / 94.3 %
    a sixth of the episodes fall              94.8 / 95.2 / 95.9 %    92.2 / 92.3 / 93.1 %
    30 % of the trainings fail                79.7 / 84.2 / 97.2 %    73.1 / 82.3 / 94.0 %

and calls a method different from itself in 2 to 4 %. No interval can repair the last line: 3 seeds
show none of those failures in a third of all studies. The interquartile mean is not used:
over seeds, its t interval contained the truth in 81 to 94 % at 5 seeds; over the episodes of a
seed, in 68 to 89 % where episodes fall.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from sim2real.errors import UserError
from sim2real.evaluation.bounds import (
    LEVEL,
    Floats,
    Spread,
    bounds,
    exact_binomial,
    independent_episodes,
    p_value,
    spread,
)

About = Literal["seeds", "this policy"]
Verdict = Literal["better", "worse", "undecided", "too few seeds"]

FEWEST = 3
"""Seeds below which there is no interval."""

LARGEST = 1e70
"""Absolute value of a return, at most: its fourth power must be finite."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval; `low` and `high` are NaN where there is none; `why` is the reason.

    `values` are the values of the seeds, which a figure shows as dots. `about` is "this policy"
    where one policy was measured: then the interval is that of its episodes, not of
    another training, and `values` is the value alone.
    """

    value: float
    low: float
    high: float
    seeds: int
    level: float = LEVEL
    values: tuple[float, ...] = ()
    about: About = "seeds"
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON, which has no NaN: None."""
        return {name: _json(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Interval:
        """The interval of which `plain` gave the data."""
        bounds = {name: data[name] for name in ("value", "low", "high")}
        numbers = {name: math.nan if x is None else x for name, x in bounds.items()}
        return Interval(**{**data, **numbers, "values": tuple(data["values"])})


@dataclass(frozen=True)
class Comparison(Interval):
    """A difference, first minus second, with its two-sided p value.

    `p_corrected` is p after the correction for the `comparisons` made in one table (see `holm`).
    """

    p: float = math.nan
    p_corrected: float = math.nan
    comparisons: int = 1

    @property
    def verdict(self) -> Verdict:
        """The difference in a word, of the corrected p."""
        if self.about != "seeds" or math.isnan(self.p_corrected):
            return "too few seeds"
        if self.p_corrected > 1 - self.level:
            return "undecided"
        return "better" if self.value > 0 else "worse"

    def plain(self) -> dict[str, Any]:
        """As JSON, the verdict included."""
        return super().plain() | {"verdict": self.verdict}


@dataclass(frozen=True)
class Estimate:
    """A mean, or what is computed of means, that knows which units its uncertainty comes from.

    `parts` has an array (units,) for each independent group of units: by how much the value would
    move, times the number of units, if a unit counted once more (the influence, of mean 0). Sums,
    differences, products and ratios of estimates carry the parts along to first order (the delta
    method): what shares a group is paired by unit, what does not is independent. So the score
    (returns - random) / (oracle - random) has the uncertainty of all three. The dots and the number
    of seeds are those of the first group, that of the leftmost operand.
    """

    value: float
    parts: Mapping[str, Floats] = field(default_factory=dict)
    about: About = "seeds"

    def __add__(self, other: Estimate | float) -> Estimate:
        other = _estimate(other)
        return self._with(self.value + other.value, 1.0, other, 1.0)

    def __sub__(self, other: Estimate | float) -> Estimate:
        other = _estimate(other)
        return self._with(self.value - other.value, 1.0, other, -1.0)

    def __mul__(self, other: Estimate | float) -> Estimate:
        other = _estimate(other)
        return self._with(self.value * other.value, other.value, other, self.value)

    def __truediv__(self, other: Estimate | float) -> Estimate:
        other = _estimate(other)
        ratio = self.value / other.value
        return self._with(ratio, 1 / other.value, other, -ratio / other.value)

    def interval(self, level: float = LEVEL) -> Interval:
        """Its interval."""
        units = next(iter(self.parts.values()), np.zeros(1))
        alone = self.about == "this policy"
        low, high = self._bounds(level)
        return Interval(
            value=self.value,
            low=low,
            high=high,
            seeds=1 if alone else len(units),
            level=level,
            values=(self.value,) if alone else tuple((self.value + units).tolist()),
            about=self.about,
            why=self.missing,
        )

    def comparison(self, level: float = LEVEL) -> Comparison:
        """Its interval and p value, for an estimate that is a difference."""
        p = math.nan if self.missing else float(p_value(self.value, self._spread))
        return Comparison(**vars(self.interval(level)), p=p, p_corrected=p)

    @property
    def missing(self) -> str:
        """Why there is no interval; empty where there is one."""
        few = [(name, len(part)) for name, part in self.parts.items() if len(part) < FEWEST]
        if not few:
            return ""
        name, count = few[0]
        unit = "episode" if self.about == "this policy" else "seed"
        units = unit if count == 1 else f"{unit}s"
        whose = "" if name == next(iter(self.parts)) else f"{name} has "
        return f"{whose}{count} {units}, an interval needs {FEWEST}"

    @property
    def _spread(self) -> Spread:
        return spread(list(self.parts.values()))

    def _bounds(self, level: float) -> tuple[float, float]:
        if self.missing:
            return math.nan, math.nan
        low, high = bounds(self.value, self._spread, level)
        return float(low), float(high)

    def _with(self, value: float, own: float, other: Estimate, others: float) -> Estimate:
        parts = {name: own * part for name, part in self.parts.items()}
        for name, part in other.parts.items():
            before = parts.get(name, np.zeros_like(part))
            if before.shape != part.shape:
                raise ValueError(f"{name}: {len(before)} units against {len(part)}")
            parts[name] = before + others * part
        return Estimate(value, parts, self.about if self.parts else other.about)


def _estimate(value: Estimate | float) -> Estimate:
    return value if isinstance(value, Estimate) else Estimate(float(value))


def of_units(name: str, values: ArrayLike, about: About = "seeds") -> Estimate:
    """The mean of independent `values` (units,), which are the group `name`."""
    units = np.asarray(values, dtype=float)
    return Estimate(float(units.mean()), {name: units - units.mean()}, about)


def of_seeds(name: str, returns: ArrayLike) -> Estimate:
    """The mean of `returns`, (seeds, episodes), over the seeds, which are the group `name`.

    Of one seed the units are its episodes, and the estimate speaks of this policy alone. Raises
    UserError for another shape, for no values and for values that are not finite.
    """
    checked = checked_returns(returns)
    if len(checked) == 1:
        return of_units(name, checked[0], "this policy")
    return of_units(name, checked.mean(axis=1))


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of several estimates."""
    total = estimates[0]
    for estimate in estimates[1:]:
        total = total + estimate
    return total / len(estimates)


def interval(returns: ArrayLike, *, level: float = LEVEL) -> Interval:
    """The mean of `returns`, (seeds, episodes), with its interval across the seeds.

    From 3 seeds up. Of 2 seeds `low` and `high` are NaN; of one seed they are those of its
    episodes, and `about` is "this policy". Raises UserError for another shape and for values that
    are not finite.

    >>> interval([[1.0, 3.0], [2.0, 4.0], [3.0, 5.0]]).value
    3.0
    """
    return of_seeds("seeds", returns).interval(checked_level(level))


def compare(
    first: ArrayLike, second: ArrayLike, paired: bool = True, *, level: float = LEVEL
) -> Comparison:
    """The mean of `first` minus that of `second`, each (seeds, episodes), with a verdict.

    `paired`: row i of both comes from the same seed, and the differences by seed count (by episode
    where there is one seed only). Otherwise the two are independent, with numbers of seeds of
    their own. The verdict is for this comparison alone: for several use `holm`.

    Raises UserError for another shape, values that are not finite, and seeds that are not paired.
    """
    one, two = checked_returns(first), checked_returns(second)
    if paired and (len(one) != len(two) or (len(one) == 1 and one.shape != two.shape)):
        raise UserError(
            f"{one.shape} and {two.shape} are not paired by seed; give paired=False "
            "if they are independent"
        )
    names = ("seeds", "seeds") if paired else ("first", "second")
    difference = of_seeds(names[0], one) - of_seeds(names[1], two)
    if len(two) == 1:
        difference = replace(difference, about="this policy")
    return difference.comparison(checked_level(level))


def holm(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons of one table with p corrected for their number, after Holm (1979).

    The chance of any false verdict among them is then at most 1 - level, however they depend on
    each other. Those without a p value are left as they are and not counted.
    """
    found = list(comparisons)
    tested = sorted((i for i, one in enumerate(found) if one.p == one.p), key=lambda i: found[i].p)
    least = 0.0
    for rank, index in enumerate(tested):
        least = max(least, min(1.0, found[index].p * (len(tested) - rank)))
        found[index] = replace(found[index], p_corrected=least, comparisons=len(tested))
    return tuple(found)


def share(part: Estimate, whole: Estimate) -> Interval:
    """`part` / `whole`; NaN where `whole` is not above 0 or its interval includes 0."""
    of = whole.interval()
    none = replace(of, value=math.nan, low=math.nan, high=math.nan, values=())
    if not whole.value > 0:
        return replace(none, why="no gap")
    if of.low <= 0:
        return replace(none, why=f"the gap may be 0: {of.low:.2g} to {of.high:.2g}")
    return (part / whole).interval()


def rate(counts: Sequence[int], episodes: int, *, level: float = LEVEL) -> Interval:
    """The share of episodes in which something happened: in `counts[i]` of `episodes` of seed i.

    From 3 seeds up, the exact binomial interval (Clopper & Pearson 1934) of as many independent
    episodes as the spread between the seeds leaves, corrected for few seeds by the ratio of the
    normal to the t quantile: Korn & Graubard (1998), "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data", Survey Methodology 24. It
    keeps a width where all or none succeed. Of one seed it is the exact binomial of this policy.

    Measured with beta-binomial seeds (rates 0.5 to 0.95, correlation of episodes 0 to 0.1, 20 and
    100 episodes) it holds the truth in 95.5 to 99.9 % at 3 seeds, 91.5 to 99.6 % at 5 and 92.5 to
    97.9 % at 10; the binomial of all episodes in 44 to 99 %. With a correlation of 0.3, where
    trainings succeed or fail as a whole, in 93 to 97 % for rates of 0.5 and 0.8, in 76 to 100 %
    for 0.95: no seed may have had the rare failure.
    """
    shares = np.asarray(counts, dtype=float) / episodes
    seeds, value = len(shares), float(shares.mean())
    values = tuple(shares.tolist())
    if seeds == 1:
        low, high = exact_binomial(value, float(episodes), level)
        return Interval(value, float(low), float(high), 1, level, values, "this policy")
    if seeds < FEWEST:
        why = f"{seeds} seeds, an interval needs {FEWEST}"
        return Interval(value, math.nan, math.nan, seeds, level, values, why=why)
    independent = float(independent_episodes(shares, episodes, level))
    low, high = exact_binomial(value, independent, level)
    return Interval(value, float(low), float(high), seeds, level, values)


def checked_returns(returns: ArrayLike) -> Floats:
    """Returns as an array (seeds, episodes); UserError for anything else."""
    try:
        given = np.asarray(returns)
        if given.dtype.kind not in "biufO":  # NumPy makes real numbers of complex ones and texts
            raise TypeError
        array = given.astype(float)
    except (TypeError, ValueError, OverflowError):
        raise UserError("returns must be numbers in an array (seeds, episodes)") from None
    if array.ndim != 2 or not array.size:
        raise UserError(
            f"returns must be an array (seeds, episodes), got the shape {array.shape}; one value "
            "a seed is values[:, None], the episodes of one policy are values[None]"
        )
    if not np.isfinite(array).all():
        seed, episode = np.argwhere(~np.isfinite(array))[0]
        raise UserError(
            f"returns must be finite, got {array[seed, episode]} at [{seed}, {episode}]"
        )
    if (largest := float(np.abs(array).max())) > LARGEST:
        raise UserError(f"returns must be within +-{LARGEST:g}, got one of {largest:g}")
    return array


def checked_level(level: float) -> float:
    """The level; UserError unless it lies between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise UserError(f"level must be a number between 0 and 1, got {level!r}")
    return level


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and math.isnan(value) else value
