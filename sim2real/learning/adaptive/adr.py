"""Automatic domain randomization: each bound moves out while the policy does well on it.

OpenAI et al. 2019, "Solving Rubik's Cube with a Robot Hand", arXiv:1910.07113, algorithm 1.
Every parameter is uniform between two bounds that start at its nominal value. With the probability
`boundary_probability` an episode places one parameter on one of its bounds. Once `buffer` episodes
have ended on a bound, it moves out by `step` if their mean return is at least `high`, and in if it
is at most `low`; the buffer is emptied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from sim2real.domains.distributions.distribution import Distribution, Uniform
from sim2real.learning.adaptive.base import AdaptiveRandomization, Options
from sim2real.learning.adaptive.episodes import mean_return
from sim2real.simulation.context import SIDES
from sim2real.task import Array

NARROWEST = 1e-3
"""Ranges narrower than this count as this in the entropy, which would be minus infinity."""


class ADROptions(Options):
    """Options of automatic domain randomization."""

    low: float
    """Mean return at a bound up to which it moves in."""
    high: float
    """Mean return at a bound from which it moves out."""
    boundary_probability: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of the episodes that are placed on a bound."""
    buffer: Annotated[int, Field(ge=1)] = 10
    """Episodes on a bound before it is judged."""
    step: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """How far a bound moves, as a part of the domain's range."""

    @model_validator(mode="after")
    def _in_order(self) -> ADROptions:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} must not be above high {self.high:g}")
        return self


class ADR(AdaptiveRandomization):
    """Widen each range where the policy does well at its bounds, narrow it where it does not.

    Logs besides: boundary_return, the mean return over the bounds that were judged last, and
    moved_out and moved_in, how many bounds moved since the start.
    """

    name: ClassVar[str] = "adr"
    option_type: ClassVar[type[Options]] = ADROptions
    options: ADROptions

    bounds: Array
    """The present shares of the domain, (d, 2)."""

    def _begin(self) -> None:
        lowest, highest = self.space.limits
        nominal = np.clip(self.space.nominal, lowest, highest)
        self._outermost = np.stack([lowest, highest], axis=1)
        self._innermost = np.stack([nominal, nominal], axis=1)
        self.bounds = self._innermost.copy()
        # (d, 2) of which the first number is the parameter; a bound without any way to go is none
        self._movable = [tuple(pair) for pair in np.argwhere(self._outermost != self._innermost)]
        self._since = [self.episodes.clock] * len(self._movable)
        self._moved = {"moved_out": 0, "moved_in": 0}

    def _ends(self) -> tuple[Sequence[tuple[str, str]], float]:
        places = [(self.space.names[index], SIDES[side]) for index, side in self._movable]
        return places, self.options.boundary_probability

    def _update(self) -> Mapping[str, float] | None:
        judged = []
        for end, since in enumerate(self._since):
            batch = self.episodes.first(self.options.buffer, since, end)
            if batch:
                judged.append(mean_return(batch))
                self._move(self._movable[end], judged[-1])
                self._since[end] = self.episodes.clock
        self.episodes.keep(self.options.buffer, dict(enumerate(self._since)))
        if not judged:
            return None
        return {"boundary_return": float(np.mean(judged))} | self._moved

    def _move(self, bound: tuple[int, ...], performance: float) -> None:
        outwards = int(performance >= self.options.high) - int(performance <= self.options.low)
        direction = np.sign(self._outermost[bound] - self._innermost[bound])
        ends = sorted((self._innermost[bound], self._outermost[bound]))
        moved = np.clip(self.bounds[bound] + outwards * direction * self.options.step, *ends)
        # a bound may stop a rounding error before the end
        moved = next((end for end in ends if abs(end - moved) < 1e-9), moved)
        if moved != self.bounds[bound]:
            self._moved["moved_out" if outwards > 0 else "moved_in"] += 1
        self.bounds[bound] = moved

    def _shares(self) -> Sequence[Distribution]:
        return [Uniform(low, high) for low, high in self.bounds.tolist()]

    def _range(self) -> tuple[Array, Array]:
        return self.bounds[:, 0], self.bounds[:, 1]

    def _entropies(self) -> Array:
        return uniform_entropy(self.bounds)

    def _method_state(self) -> dict[str, Any]:
        return {"bounds": self.bounds.tolist(), "since": list(self._since), "moved": self._moved}

    def _restore_method(self, state: Mapping[str, Any]) -> None:
        self.bounds = np.array(state["bounds"])
        self._since = [int(step) for step in state["since"]]
        self._moved = {name: int(count) for name, count in state["moved"].items()}


def uniform_entropy(bounds: Array) -> Array:
    """Entropy in nats of uniform distributions between bounds (d, 2), (d,); see `NARROWEST`."""
    value: Array = np.log(np.maximum(bounds[:, 1] - bounds[:, 0], NARROWEST))
    return value
