"""Imperfections between the command and the actuators: the `actuation` section of a domain."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from sim2real.config import Config
from sim2real.domains.distributions import Distribution, DistributionField
from sim2real.domains.words import names, sentence


class Actuation(Config):
    """One imperfection of the actuators: a `delay` in s or a factor on their `strength`.

    A delay is one for all actuators unless `shared` is false; strength is one for each unless
    `shared` is true.
    """

    delay: DistributionField | None = None
    strength: DistributionField | None = None
    of: tuple[str, ...] = ()
    shared: bool | None = None
    name: str | None = None

    _one_name = field_validator("of", mode="before")(names)

    @model_validator(mode="after")
    def _one_kind(self) -> Actuation:
        if (self.delay is None) == (self.strength is None):
            raise ValueError("needs exactly one of delay, strength")
        if self.distribution.support[0] < 0 or self.distribution.support[1] == float("inf"):
            raise ValueError(f"{self.kind} must be bounded and not negative")
        return self

    @property
    def kind(self) -> Literal["delay", "strength"]:
        """Which imperfection it is."""
        return "delay" if self.delay is not None else "strength"

    @property
    def distribution(self) -> Distribution:
        """What is drawn."""
        chosen: Distribution = getattr(self, self.kind)
        return chosen

    @property
    def is_shared(self) -> bool:
        """Whether one draw serves all actuators."""
        return self.kind == "delay" if self.shared is None else self.shared

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or self.kind

    def words(self) -> str:
        """The imperfection as a person says it."""
        value = self.distribution.words()
        amount = f"{value} s" if self.kind == "delay" else f"× {value}"
        return sentence(f"actuator {self.kind}", self.of, self.is_shared, amount)
