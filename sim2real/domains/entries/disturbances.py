"""The kinds of disturbances: what acts on the robot from outside, one class for each kind.

A `Load`, a force that is computed anew in each control step, is a whole disturbance in one class;
the others are bound in `forces` and `terrain`.
"""

from __future__ import annotations

from typing import ClassVar

from sim2real.domains.entries.stage import Kind

DEEPEST = 100.0
"""Depth of the hollows of an uneven floor in m, at most."""


class Push(Kind):
    """An impulse on one of the bodies `of`, after each interval of `every` seconds."""

    name, unit, drawn, takes_course = "push", "N s", "step", False
    keys: ClassVar[tuple[str, ...]] = ("of", "every", "direction")
    directions: ClassVar[tuple[str, ...]] = ("horizontal", "x", "y", "z")


class Twist(Push):
    """An angular impulse, as a push."""

    name, unit = "twist", "N m s"


class Force(Kind):
    """A constant force on bodies, in the world's frame."""

    name, unit = "force", "N"
    keys: ClassVar[tuple[str, ...]] = ("of", "direction", "shared")
    directions: ClassVar[tuple[str, ...]] = ("x", "y", "z")


class Torque(Force):
    """A constant torque on bodies, in the world's frame."""

    name, unit = "torque", "N m"


class Slope(Kind):
    """The angle by which the floor rises."""

    name, unit, low, high = "slope", "rad", -1.5, 1.5
    keys: ClassVar[tuple[str, ...]] = ("direction",)
    directions: ClassVar[tuple[str, ...]] = ("pitch", "roll")


class Bumps(Kind):
    """The depth of the hollows of an uneven floor."""

    name, unit, low, high, takes_course = "bumps", "m", 0.0, DEEPEST, False
    keys: ClassVar[tuple[str, ...]] = ("of", "wavelength")
    directions: ClassVar[tuple[str, ...]] = ()
