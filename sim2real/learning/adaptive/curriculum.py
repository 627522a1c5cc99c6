"""A plain curriculum: every range grows from the nominal value to the whole domain.

At the level l, from 0 to 1, a parameter with the nominal share m of its domain is drawn from the
shares m (1 - l) to m + (1 - m) l. The level rises in equal stages: with the control steps, or
whenever the mean return of the last episodes reaches a threshold. It begins at `start`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from sim2real.domains.distributions.distribution import Distribution, Uniform
from sim2real.learning.adaptive.adr import uniform_entropy
from sim2real.learning.adaptive.base import AdaptiveRandomization, Options
from sim2real.learning.adaptive.episodes import mean_return
from sim2real.task import Array


class CurriculumOptions(Options):
    """Options of the curriculum."""

    start: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """The level at the first step."""
    stages: Annotated[int, Field(ge=1)] = 20
    """In how many equal stages the ranges grow."""
    until: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Part of the training after which they are whole, where there is no threshold."""
    threshold: float | None = None
    """Mean return from which the next stage begins, in place of the steps."""
    episodes: Annotated[int, Field(ge=1)] = 64
    """Episodes of that mean."""


class Curriculum(AdaptiveRandomization):
    """Let the ranges grow in stages.

    Logs besides: level, from 0 (nominal) to 1 (the whole domain), and with a threshold
    stage_return, the mean return that was judged last.
    """

    name: ClassVar[str] = "curriculum"
    option_type: ClassVar[type[Options]] = CurriculumOptions
    options: CurriculumOptions
    independent: ClassVar[bool] = False

    stage: int
    """How many of the stages are done."""

    @property
    def level(self) -> float:
        """0: nominal; 1: the whole domain."""
        own = self.options
        return own.start + (1.0 - own.start) * self.stage / own.stages

    def _begin(self) -> None:
        self.stage = 0
        self._since = self.episodes.clock

    def _update(self) -> Mapping[str, float] | None:
        own, values = self.options, {}
        if own.threshold is None:
            stage = self._stage_by_steps()
        else:
            batch = self.episodes.first(own.episodes, self._since)
            if not batch:
                self.episodes.keep(own.episodes, {None: self._since})
                return None
            self._since = self.episodes.clock
            mean = mean_return(batch)
            stage = min(self.stage + (mean >= own.threshold), own.stages)
            values["stage_return"] = mean
        self.episodes.keep(0, {})
        if stage == self.stage and not values:
            return None
        self.stage = stage
        return {"level": self.level} | values

    def _stage_by_steps(self) -> int:
        # `_total_timesteps` counts from the very first step, also in a resumed training
        part = self.num_timesteps / max(self.model._total_timesteps, 1)
        return min(int(part / self.options.until * self.options.stages), self.options.stages)

    def _bounds(self) -> Array:
        nominal, level = self.space.nominal, self.level
        return np.stack([nominal * (1 - level), nominal + (1 - nominal) * level], axis=1)

    def _shares(self) -> Sequence[Distribution]:
        return [Uniform(low, high) for low, high in self._bounds().tolist()]

    def _range(self) -> tuple[Array, Array]:
        return self._bounds()[:, 0], self._bounds()[:, 1]

    def _entropies(self) -> Array:
        return uniform_entropy(self._bounds())

    def _method_state(self) -> dict[str, Any]:
        return {"stage": self.stage, "since": self._since}

    def _restore_method(self, state: Mapping[str, Any]) -> None:
        self.stage, self._since = int(state["stage"]), int(state["since"])
