"""What episodes draw: the entries of a context, from the domain or from narrower distributions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim2real.domains import Plan
from sim2real.domains.distributions import Distribution, parse_distribution, plain_distribution
from sim2real.errors import UserError, unknown
from sim2real.simulation.randomness import CONTEXT, EpisodeGenerators
from sim2real.task import Array, IntArray

SIDES = ("low", "high")
AHEAD = 16
"""Episodes of a world that are drawn at once: few at a time take nearly as long as many."""
DRAWS, ENDS = 0, 1
"""Blocks of the context stream: the entries' uniform numbers, and the one that chooses an end."""


class ContextDraws:
    """Draws the contexts of episodes for a domain's `plan`.

    Entries in `distributions`, by name, are drawn from these in place of the plan's, whose supports
    are the outer limits: what the domain was checked for. With `probability` an episode takes one
    of `ends`, pairs of a name and "low" or "high", each as likely: that entry stands at the end of
    its support. Whether and which is drawn from a number of its own, so that the other draws of
    the episode stay what they are.
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
        of = [self._changed.get(*pair) for pair in zip(plan.names, plan.distributions, strict=True)]
        self._plan = dataclasses.replace(plan, distributions=tuple(of))
        self._columns = np.array([_index(plan, name) for name, _ in self._ends], dtype=np.intp)
        self._values = np.array([self._end(*end) for end in self._ends])
        self._seed = -1
        self._ahead: dict[int, Array] = {}

    def draw(
        self, generators: EpisodeGenerators, episodes: Sequence[int], stride: int = 0
    ) -> Array:
        """The contexts of `episodes`, (m, context).

        With a `stride` those that a world goes on with, each so much later, are drawn with them.
        """
        if not stride:
            return self._draw(generators, episodes)
        if generators.seed != self._seed or len(self._ahead) > 2 * AHEAD * stride:
            self._seed = generators.seed
            self._ahead.clear()
        unknown_yet = [episode for episode in episodes if episode not in self._ahead]
        if unknown_yet:
            several = [one + k * stride for one in unknown_yet for k in range(AHEAD)]
            self._ahead.update(zip(several, self._draw(generators, several), strict=True))
        found = np.array([self._ahead[episode] for episode in episodes])
        for episode in episodes:
            self._ahead.pop(episode, None)
        return found

    def _draw(self, generators: EpisodeGenerators, episodes: Sequence[int]) -> Array:
        size = len(self._plan.names)
        uniforms = np.empty((len(episodes), size))
        for row, episode in zip(uniforms, episodes, strict=True):
            generators.at(episode, CONTEXT, DRAWS).random(out=row)
        draws = self._plan.draw(uniforms)
        if len(self._ends) and self._probability > 0:
            chosen = self.ends_of(generators, episodes)
            rows = np.flatnonzero(chosen >= 0)
            draws[rows, self._columns[chosen[rows]]] = self._values[chosen[rows]]
            return self._plan.settle(draws)
        return draws

    def ends_of(self, generators: EpisodeGenerators, episodes: Sequence[int]) -> IntArray:
        """Which of the ends each episode takes, (m,); -1 for none."""
        if not self._ends or self._probability == 0:
            return np.full(len(episodes), -1)
        drawn = np.array([generators.at(one, CONTEXT, ENDS).random() for one in episodes])
        scaled = np.floor(drawn / self._probability * len(self._ends)).astype(np.int64)
        chosen: IntArray = np.where(scaled < len(self._ends), scaled, -1)
        return chosen

    def to_array(self) -> NDArray[np.uint8]:
        """What differs from the plan, as JSON in bytes; `changed_by` reads it."""
        plain = {name: plain_distribution(one) for name, one in self._changed.items()}
        data = {"distributions": plain, "ends": self._ends, "probability": self._probability}
        return np.frombuffer(json.dumps(data).encode(), dtype=np.uint8).copy()

    def _end(self, name: str, side: str) -> float:
        if side not in SIDES:
            raise unknown("end", side, SIDES)
        return self._plan.distributions[_index(self._plan, name)].support[SIDES.index(side)]


def changed_by(array: ArrayLike, plan: Plan) -> ContextDraws:
    """The draws of `plan` as `to_array` has kept them; UserError where they do not fit it."""
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
            f"{name}: {distribution.words()} leaves the domain's range, {limits.words()}"
        )
