"""DORAEMON: the widest distribution under which the policy still succeeds often enough.

Tiboni et al. 2024, "Domain Randomization via Entropy Maximization", ICLR, arXiv:2311.01885.
Every parameter has a Beta distribution on its range. An update maximizes their entropy subject to
a success rate, which is estimated from the last episodes by importance sampling, and to
KL(new || old) <= `divergence`. Where the policy has fallen below the rate, the success rate is
maximized instead. Before the rate is reached for the first time, nothing moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.special import betaincinv

from sim2real.domains.distributions.distribution import Beta, Distribution
from sim2real.learning.adaptive.base import AdaptiveRandomization, Options
from sim2real.learning.adaptive.beta import entropy
from sim2real.learning.adaptive.entropy import widen
from sim2real.learning.adaptive.episodes import Finished
from sim2real.task import Array


class DoraemonOptions(Options):
    """Options of DORAEMON."""

    success_return: float | None = None
    """An episode with at least this return is a success; null: one that reaches its time limit."""
    success_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    divergence: Annotated[float, Field(gt=0.0)] = 0.3
    """Largest KL(new || old) of an update, in nats over all parameters."""
    episodes: Annotated[int, Field(ge=2)] = 128
    """Episodes of an update."""
    concentration: Annotated[float, Field(gt=0.0, le=400.0)] = 30.0
    """How narrow it begins: a + b - 2 of each Beta, whose mode is the nominal value."""


class DORAEMON(AdaptiveRandomization):
    """Maximize the entropy of the domain under a success constraint.

    Logs besides: success_rate of the last episodes, and of the update expected_success_rate,
    divergence (nats) and effective_episodes, the effective sample size.
    """

    name: ClassVar[str] = "doraemon"
    option_type: ClassVar[type[Options]] = DoraemonOptions
    options: DoraemonOptions

    shapes: Array
    """a and b of each parameter, (d, 2)."""

    def _begin(self) -> None:
        concentration = self.options.concentration
        nominal = self.space.nominal
        self.shapes = 1.0 + concentration * np.stack([nominal, 1.0 - nominal], axis=1)
        self._since = self.episodes.clock
        self._reached = False

    def _update(self) -> Mapping[str, float] | None:
        own = self.options
        batch = self.episodes.first(own.episodes, self._since)
        if not batch:
            self.episodes.keep(own.episodes, {None: self._since})
            return None
        self._since = self.episodes.clock
        succeeded = np.array([self._succeeded(one) for one in batch])
        values = {"success_rate": float(succeeded.mean())}
        self._reached |= bool(succeeded.mean() >= own.success_rate)
        if self._reached:
            points = self.space.shares([one.context for one in batch])
            update = widen(self.shapes, points, succeeded, own.success_rate, own.divergence)
            self.shapes = update.shapes
            values |= {
                "expected_success_rate": update.success_rate,
                "divergence": update.divergence,
                "effective_episodes": update.effective_episodes,
            }
        return values

    def _succeeded(self, episode: Finished) -> bool:
        if self.options.success_return is None:
            return episode.survived
        return not episode.unstable and episode.total >= self.options.success_return

    def _shares(self) -> Sequence[Distribution]:
        return [Beta(a, b, 0.0, 1.0) for a, b in self.shapes.tolist()]

    def _range(self) -> tuple[Array, Array]:
        """The middle nine tenths."""
        a, b = self.shapes.T
        return betaincinv(a, b, 0.05), betaincinv(a, b, 0.95)

    def _entropies(self) -> Array:
        return entropy(self.shapes)

    def _method_state(self) -> dict[str, Any]:
        return {"shapes": self.shapes.tolist(), "since": self._since, "reached": self._reached}

    def _restore_method(self, state: Mapping[str, Any]) -> None:
        self.shapes = np.array(state["shapes"])
        self._since, self._reached = int(state["since"]), bool(state["reached"])
