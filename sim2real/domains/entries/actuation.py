"""Imperfections between the command and the actuators: the `actuation` section of a domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import model_validator

from sim2real.domains.entries.imperfection import Imperfection
from sim2real.domains.entries.kinds import ACTUATION
from sim2real.domains.entries.stage import Kind
from sim2real.domains.entries.stages import Strength


class Actuation(Imperfection):
    """One imperfection of the actuators `of` (by default all), in units of the control signal.

    A command passes them in the order of the table. A rest point is the command that asks for
    nothing (0 of a motor), or the target that a servo holds.
    """

    kinds: ClassVar[Mapping[str, type[Kind]]] = ACTUATION
    section: ClassVar[str] = "actuator"

    shared: bool | Literal["joint"] | None = None

    @model_validator(mode="after")
    def _strength_is_an_actuators(self) -> Actuation:
        if self.kind is Strength and self.by_joint:
            raise ValueError("strength is that of an actuator; allowed for shared: true or false")
        return self
