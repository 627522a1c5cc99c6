"""Imperfections between the command and the actuators: the `actuation` section of a domain."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from sim2real.domains.distributions.distribution import DistributionField
from sim2real.domains.entries.imperfection import Imperfection
from sim2real.domains.entries.kinds import ACTUATION
from sim2real.domains.entries.stage import Kind


class Actuation(Imperfection):
    """One imperfection of the actuators `of` (by default all), in units of the control signal.

    A command passes them in the order of the fields. A rest point is the command that asks for
    nothing (0 of a motor), or the target that a servo holds.
    """

    kinds: ClassVar[dict[str, type[Kind]]] = ACTUATION
    section: ClassVar[str] = "actuator"

    shared: bool | Literal["joint"] | None = None

    latency: DistributionField | None = None
    """How long the policy computes, in s: the action of an older observation, held meanwhile."""
    repeat: DistributionField | None = None
    """Control steps for which an action is repeated."""
    dropped: DistributionField | None = None
    """Probability a control step that a command is lost: the actuator rests, for `steps`."""
    held: DistributionField | None = None
    """Probability a control step that the last command stays, for `steps`."""
    quantization: DistributionField | None = None
    """Step between two commands."""
    noise: DistributionField | None = None
    """Added, drawn anew in each control step."""
    saturation: DistributionField | None = None
    """Fraction of the control range that is left on both sides of the rest point."""
    dead_zone: DistributionField | None = None
    """Half width: a command is nearer to the rest point by it, and smaller ones are at rest."""
    rate_limit: DistributionField | None = None
    """Largest change in a second."""
    lag: DistributionField | None = None
    """Time constant in s of a first-order lag."""
    backlash: DistributionField | None = None
    """Width of the play."""
    delay: DistributionField | None = None
    """Delay in s, of any fraction of a control step."""
    strength: DistributionField | None = None
    """Factor on the force, its limit included."""
    no_load_speed: DistributionField | None = None
    """Speed of the joint, in rad/s or m/s, at which no force is left in the direction of motion."""

    @model_validator(mode="after")
    def _strength_is_an_actuators(self) -> Actuation:
        if self.strength is not None and self.by_joint:
            raise ValueError("strength is that of an actuator; allowed for shared: true or false")
        return self
