"""Imperfections between the state and the observation: the `sensing` section of a domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import model_validator

from sim2real.domains.distributions.distribution import Constant, DistributionField
from sim2real.domains.entries.delays import Rate, RewardDelay
from sim2real.domains.entries.imperfection import Imperfection
from sim2real.domains.entries.kinds import SENSING
from sim2real.domains.entries.stage import Kind


class Sensing(Imperfection):
    """One imperfection of the observation terms `of` (by default all), in units of the term.

    "term" is all its numbers, "term[2]" one of them. An observation passes them in the order of
    the table.
    """

    kinds: ClassVar[Mapping[str, type[Kind]]] = SENSING
    section: ClassVar[str] = "sensor"
    prefix: ClassVar[str] = "sensor_"

    shared: bool | None = None

    phase: DistributionField = Constant(0.0)
    """When the first sample comes, in periods of the rate after the start of an episode."""

    @model_validator(mode="after")
    def _reward_has_no_terms(self) -> Sensing:
        if self.kind is RewardDelay and self.of:
            raise ValueError("reward_delay is one for the reward; drop 'of'")
        return self

    @model_validator(mode="after")
    def _phase_of_a_rate(self) -> Sensing:
        if self.kind is not Rate and self.phase != Constant(0.0):
            raise ValueError(f"phase belongs to a rate, not to {self.kind.name}")
        low, high = self.phase.support
        if not 0 <= low <= high <= 1:
            raise ValueError(f"a phase must lie within 0 to 1, got {self.phase.words()}")
        return self

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ("reward_delay" if self.kind is RewardDelay else super().label)
