"""Imperfections between the state and the observation: the `sensing` section of a domain."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from sim2real.domains.distributions.distribution import Constant, DistributionField
from sim2real.domains.entries.imperfection import Imperfection
from sim2real.domains.entries.kinds import SENSING
from sim2real.domains.entries.stage import Kind


class Sensing(Imperfection):
    """One imperfection of the observation terms `of` (by default all), in units of the term.

    "term" is all its numbers, "term[2]" one of them. An observation passes them in the order of
    the fields.
    """

    kinds: ClassVar[dict[str, type[Kind]]] = SENSING
    section: ClassVar[str] = "sensor"
    prefix: ClassVar[str] = "sensor_"

    shared: bool | None = None

    delay: DistributionField | None = None
    """Delay in s, interpolated between control steps."""
    rate: DistributionField | None = None
    """How often the sensor samples, in Hz; a reading stays until the next."""
    phase: DistributionField = Constant(0.0)
    """When the first sample comes, in periods of the rate after the start of an episode."""
    scale: DistributionField | None = None
    """Factor."""
    bias: DistributionField | None = None
    """Added, the same in the whole episode."""
    drift: DistributionField | None = None
    """Standard deviation, after a second, of a random walk from 0."""
    noise: DistributionField | None = None
    """Added, drawn anew for each number and control step."""
    saturation: DistributionField | None = None
    """Largest absolute value."""
    quantization: DistributionField | None = None
    """Step between two readings."""
    stuck: DistributionField | None = None
    """Probability a control step that a reading stays for the rest of the episode."""
    dropped: DistributionField | None = None
    """Probability a control step that a reading is lost: it is 0, for `steps`."""
    held: DistributionField | None = None
    """Probability a control step that the last reading stays, for `steps`."""
    reward_delay: DistributionField | None = None
    """Delay of the reward in s; what is outstanding is paid at the end of the episode."""

    @model_validator(mode="after")
    def _reward_has_no_terms(self) -> Sensing:
        if self.reward_delay is not None and self.of:
            raise ValueError("reward_delay is one for the reward; drop 'of'")
        return self

    @model_validator(mode="after")
    def _phase_of_a_rate(self) -> Sensing:
        if self.rate is None and self.phase != Constant(0.0):
            raise ValueError(f"phase belongs to a rate, not to {self.kind.name}")
        low, high = self.phase.support
        if not 0 <= low <= high <= 1:
            raise ValueError(f"a phase must lie within 0 to 1, got {self.phase.words()}")
        return self

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ("reward_delay" if self.reward_delay is not None else super().label)
