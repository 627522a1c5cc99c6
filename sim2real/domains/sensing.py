"""Imperfections between the state and the observation: the `sensing` section of a domain."""

from __future__ import annotations

from pydantic import Field, field_validator

from sim2real.config import Config
from sim2real.domains.distributions import DistributionField
from sim2real.domains.words import names, sentence


class Sensing(Config):
    """One imperfection of an observation term: `noise`, drawn anew for each number and step."""

    noise: DistributionField
    of: tuple[str, ...] = Field(min_length=1)

    _one_name = field_validator("of", mode="before")(names)

    def words(self) -> str:
        """The imperfection as a person says it."""
        return sentence("sensor noise", self.of, False, f"+ {self.noise.words()}")
