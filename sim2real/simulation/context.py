"""The draws of episodes: the entries of a context, from the domain or narrower distributions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim2real.domains import Plan
from sim2real.domains.distributions.distribution import (
    Distribution,
    parse_distribution,
    plain_distribution,
)
from sim2real.errors import UserError, unknown
from sim2real.simulation.randomness import CONTEXT, EpisodeGenerators
from sim2real.task import Array, IntArray

SIDES = ("low", "high")
BLOCK = 64
"""Episodes, one after the other, whose contexts are drawn at once."""
CACHED = 256
"""Blocks in the cache, the last ones used."""
DRAWS, ENDS = 0, 1
"""Blocks of the context stream: the entries' uniform numbers, and those that choose an end."""


class ContextDraws:
    """Draws the contexts of episodes for a domain's `plan`.

    An entry's draw in an episode depends on the seed, the episode and the entry's name alone: a
    generator for each name gives the numbers of a block of episodes.
    Entries in `distributions`, by name, are drawn from these in place of the plan's, whose supports
    are the outer limits: what the domain was checked for. With `probability` an episode takes one
    of `ends`, pairs of a name and "low" or "high", each as likely: that entry stands at the end of
    its support. Whether and which is drawn from a separate number, so that the other draws of
    the episode do not change.
    Raises UserError for unknown names, and supports beyond the limits.
    """

    def __init__(
        self,
        plan: Plan,
        distributions: Mapping[str, Distribution] | None = None,
        ends: Sequence[tuple[str, str]] = (),
        probability: float = 0.0,
    ) -> None:
        self._changed = dict(distributions or {})
        self._ends = tuple((name, side) for name, side in ends)
        self._probability = float(probability)
        if not 0.0 <= self._probability <= 1.0:
            raise UserError(f"the probability of an end must lie in [0, 1], got {probability}")
        for name, distribution in self._changed.items():
            _check_within(distribution, plan.distributions[_index(plan, name)], name)
        for name in (*self._changed, *(name for name, _ in self._ends)):
            if name in plan.names and name not in plan.steady:
                raise UserError(
                    f"{name}: it is drawn at startup or anew within an episode; allowed: what is "
                    "drawn at each reset"
                )
        of = [self._changed.get(*pair) for pair in zip(plan.names, plan.distributions, strict=True)]
        self._plan = dataclasses.replace(plan, distributions=tuple(of))
        self._columns = np.array([_index(plan, name) for name, _ in self._ends], dtype=np.intp)
        self._values = np.array([self._end(*end) for end in self._ends])
        self._seed = -1
        self._blocks: dict[int, tuple[Array, IntArray]] = {}

    def draw(self, generators: EpisodeGenerators, episodes: Sequence[int]) -> Array:
        """The contexts of `episodes`, (m, context)."""
        return np.array([self._block(generators, e // BLOCK)[0][e % BLOCK] for e in episodes])

    def ends_of(self, generators: EpisodeGenerators, episodes: Sequence[int]) -> IntArray:
        """Which of the ends each episode takes, (m,); -1 for none."""
        return np.array([self._block(generators, e // BLOCK)[1][e % BLOCK] for e in episodes])

    def _block(self, generators: EpisodeGenerators, block: int) -> tuple[Array, IntArray]:
        """The contexts, (BLOCK, context), and the ends, (BLOCK,), of a block of episodes."""
        if generators.seed != self._seed:
            self._seed = generators.seed
            self._blocks.clear()
        found = self._blocks.pop(block, None) or self._draw(generators, block)
        self._blocks[block] = found  # behind the others: the first one was used longest ago
        if len(self._blocks) > CACHED:
            del self._blocks[next(iter(self._blocks))]
        return found

    def _draw(self, generators: EpisodeGenerators, block: int) -> tuple[Array, IntArray]:
        numbers = np.empty((len(self._plan.names), BLOCK))
        for row, key in zip(numbers, self._plan.keys, strict=True):
            generators.at(block, CONTEXT, DRAWS, key).random(out=row)
        draws = self._plan.draw(numbers.T)
        chosen = self._choose(generators, block)
        rows = np.flatnonzero(chosen >= 0)
        if len(rows):
            draws[rows, self._columns[chosen[rows]]] = self._values[chosen[rows]]
            draws = self._plan.settle(draws)
        return draws, chosen

    def _choose(self, generators: EpisodeGenerators, block: int) -> IntArray:
        """The ends of a block of episodes, (BLOCK,)."""
        if not self._ends or self._probability == 0:
            return np.full(BLOCK, -1)
        drawn = generators.at(block, CONTEXT, ENDS).random(BLOCK)
        scaled = np.floor(drawn / self._probability * len(self._ends)).astype(np.int64)
        chosen: IntArray = np.where(scaled < len(self._ends), scaled, -1)
        return chosen

    def to_array(self) -> NDArray[np.uint8]:
        """The differences from the plan, as JSON in bytes; `changed_by` reads it."""
        plain = {name: plain_distribution(one) for name, one in self._changed.items()}
        data = {"distributions": plain, "ends": self._ends, "probability": self._probability}
        return np.frombuffer(json.dumps(data).encode(), dtype=np.uint8).copy()

    def _end(self, name: str, side: str) -> float:
        if side not in SIDES:
            raise unknown("end", side, SIDES)
        return self._plan.distributions[_index(self._plan, name)].support[SIDES.index(side)]


def changed_by(array: ArrayLike, plan: Plan) -> ContextDraws:
    """The draws of `plan` from what `to_array` gave; UserError where they do not fit it."""
    try:
        data: Any = json.loads(np.asarray(array, dtype=np.uint8).tobytes())
        changed = {name: parse_distribution(one) for name, one in data["distributions"].items()}
        return ContextDraws(plan, changed, data["ends"], data["probability"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"snapshot: distributions do not fit the domain: {error}") from None


def _index(plan: Plan, name: str) -> int:
    if name not in plan.names:
        raise unknown("context entry", name, plan.names)
    return plan.names.index(name)


def _check_within(distribution: Distribution, limits: Distribution, name: str) -> None:
    (low, high), (lowest, highest) = distribution.support, limits.support
    if not lowest <= low <= high <= highest:
        raise UserError(
            f"{name}: {distribution.describe()} leaves the domain's range, {limits.describe()}"
        )
