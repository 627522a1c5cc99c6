"""The return against each entry of the context, a pure function of episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import ndtri

from sim2real.evaluation.bounds import bounds, spread
from sim2real.evaluation.rollout import Row, by_domain
from sim2real.task import Array

FEWEST = 12
"""Fewest episodes for which sensitivities are computed."""
PER_BIN = 12
MOST_BINS = 8


class EndedEpisode(Protocol):
    """An episode that ended: a row of an evaluation, or an episode of a training."""

    @property
    def total(self) -> float:
        """Its return."""

    @property
    def context(self) -> Mapping[str, float]:
        """The drawn values."""


@dataclass(frozen=True)
class Sensitivity:
    """The return against the entry `name` of the context, in n episodes.

    `values` and `totals` are (n,), in ascending order of the values. They are cut into bins of
    equally many episodes, of which `centres`, `means`, `lows` and `highs`, each (bins,), are the
    mean value, the mean return and its 95 % interval over the episodes. `correlation` is
    Spearman's, between ranks: 1 where the return always rises with the value. In one of twenty
    evaluations, chance alone takes any of the `entries` looked at beyond +-`chance`. `low` and
    `high` are the mean returns in the lowest and the highest third.
    """

    name: str
    values: Array
    totals: Array
    centres: Array
    means: Array
    lows: Array
    highs: Array
    correlation: float
    low: float
    high: float
    entries: int = 1

    @property
    def chance(self) -> float:
        """The absolute correlation that independent ranks exceed in about one evaluation of 20.

        After Bonferroni: the more entries, the more it takes.
        """
        return float(ndtri(1 - 0.025 / self.entries) / np.sqrt(len(self.values) - 1))

    @property
    def is_clear(self) -> bool:
        """Whether the correlation is more than chance."""
        return abs(self.correlation) > self.chance

    def plain(self) -> dict[str, Any]:
        """The numbers for people, as JSON."""
        return {
            "correlation": self.correlation,
            "chance": self.chance,
            "lowest_third": self.low,
            "highest_third": self.high,
        }


def return_against_context(episodes: Iterable[EndedEpisode]) -> tuple[Sensitivity, ...]:
    """One for each entry of the context that varied, in the order of the context.

    The episodes are of one domain. None for fewer than FEWEST episodes.
    """
    rows = list(episodes)
    names = rows[0].context if len(rows) >= FEWEST else ()
    totals = np.array([row.total for row in rows], dtype=float)
    drawn = {name: np.array([row.context[name] for row in rows], dtype=float) for name in names}
    varied = {name: values for name, values in drawn.items() if np.ptp(values) > 0}
    return tuple(_sensitivity(name, values, totals, len(varied)) for name, values in varied.items())


def by_parameter(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The numbers of an evaluation as JSON: one line for each domain and entry of its context."""
    return [
        {"domain": domain, "parameter": one.name, **one.plain()}
        for domain, own in by_domain(rows).items()
        for one in return_against_context(own)
    ]


def _sensitivity(name: str, values: Array, totals: Array, entries: int) -> Sensitivity:
    order = np.argsort(values, kind="stable")
    values, totals = values[order], totals[order]
    bins = np.array_split(np.arange(len(values)), _bins(len(values)))
    thirds = np.array_split(totals, 3)
    means = np.array([totals[one].mean() for one in bins])
    ends = [bounds(totals[one].mean(), spread([totals[one]])) for one in bins]
    return Sensitivity(
        name=name,
        values=values,
        totals=totals,
        centres=np.array([values[one].mean() for one in bins]),
        means=means,
        lows=np.array([low for low, _ in ends]),
        highs=np.array([high for _, high in ends]),
        correlation=_rank_correlation(values, totals),
        low=float(thirds[0].mean()),
        high=float(thirds[-1].mean()),
        entries=entries,
    )


def _bins(count: int) -> int:
    return min(MOST_BINS, max(2, count // PER_BIN))


def _rank_correlation(left: Array, right: Array) -> float:
    """Spearman's: the correlation of the ranks, ties at their mean; 0 for returns all the same."""
    if np.ptp(right) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def _ranks(values: Array) -> Array:
    """The place of each value in ascending order, the mean place for equal ones, (n,)."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    places: Array = (counts.cumsum() - (counts - 1) / 2)[which]
    return places
