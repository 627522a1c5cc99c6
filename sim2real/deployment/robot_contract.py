"""What a robot's side says of itself, in a YAML file, to be compared with an exported policy::

control_dt: 0.02                  # s, of its control loop
latency_s: [0.004, 0.012]         # from a reading to the effect of its command
joints:                           # in the order in which its program gives and takes them
  - {name: hip, unit: rad, limits: [-0.8, 0.8], rest: 0.1}
  - {name: knee, unit: rad, sign: 1, offset: 0.0, velocity: 20, force: 23.7, rest: -1.2}
observations:                     # whatever else it gives to the policy
  gyro: {unit: rad/s, size: 3, frame: body}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sim2real import files
from sim2real.config import Config, parse

Positive = Annotated[float, Field(gt=0)]
Delay = Annotated[float, Field(ge=0)]


class RobotJoint(Config):
    """One joint as the robot's program gives and takes it.

    The position of the model is offset + sign x (what the program has), in rad or m.
    """

    name: str
    unit: Literal["rad", "deg", "m", "mm"] = "rad"
    sign: Literal[1, -1] = 1
    offset: float = 0.0
    limits: tuple[float, float] | None = None
    """Of the position, in the joint's unit."""
    velocity: Positive | None = None
    """The highest speed, in the joint's unit a second."""
    force: Positive | None = None
    """The largest torque or force, N m or N."""
    rest: float | None = None
    """Where it stands before the policy starts, in the joint's unit."""


class RobotTerm(Config):
    """An observation that is not of a joint."""

    unit: str = ""
    size: Annotated[int, Field(ge=1)] | None = None
    frame: str = ""
    rest: tuple[float, ...] | None = None
    """Its numbers in the rest pose."""


class RobotContract(Config):
    """What a robot's side says of itself."""

    control_dt: Positive
    jitter_s: Delay = 0.0
    """How early or late a control step may be."""
    latency_s: tuple[Delay, Delay] | None = None
    """The shortest and the longest time from a reading to the effect of its command."""
    joints: Annotated[tuple[RobotJoint, ...], Field(min_length=1)]
    observations: dict[str, RobotTerm] = Field(default_factory=dict)
    actuators: tuple[str, ...] | None = None
    """Names of the actuators in order; by default those of the joints that the policy moves."""

    @field_validator("latency_s")
    @classmethod
    def _in_order(cls, given: tuple[float, float] | None) -> tuple[float, float] | None:
        if given is not None and given[0] > given[1]:
            raise ValueError("the shortest comes first")
        return given

    @model_validator(mode="after")
    def _each_once(self) -> RobotContract:
        names = [joint.name for joint in self.joints]
        if len(set(names)) < len(names):
            raise ValueError(f"joints {', '.join(names)}: each name once")
        return self


def read_robot(path: Path | str) -> RobotContract:
    """The contract in a YAML file; UserError with what is wrong in it."""
    place = files.user_path(path)
    if not place.is_file():
        raise files.absent(place)
    return parse(RobotContract, files.read_yaml(place), f"the robot's contract {place}")
