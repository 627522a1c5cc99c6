"""Impulses on bodies: pushes and twists, one after each interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim2real.domains.binding.builder import Builder
from sim2real.domains.distributions.distribution import Distribution
from sim2real.domains.distributions.draw_keys import draw_name, key_of
from sim2real.domains.entries.disturbance import DisturbanceEntry, DisturbanceKind, Form


@dataclass(frozen=True)
class Impulses:
    """Impulses, one an interval (s), on one of `bodies`, along `axes` of `xfrc_applied`.

    Axes 0 to 2 are those of forces (N s), 3 to 5 those of torques (N m s). With two axes the
    impulse has a random angle between them. All random numbers are drawn under the `key`.
    """

    key: int
    bodies: NDArray[np.intp]
    impulse: Distribution
    every: Distribution
    axes: tuple[int, ...]


class Push(DisturbanceKind):
    """An impulse on one of the bodies `of`, after each interval of `every` seconds."""

    name, unit, drawn, takes_course, order = "push", "N s", "step", False, 0
    form = Form(("of", "every", "direction"), ("of",), ("horizontal", "x", "y", "z"))

    @classmethod
    def check(cls, entry: DisturbanceEntry) -> None:
        """Refuse intervals that are not greater than 0."""
        if entry.every is None or entry.every.support[0] <= 0:
            got = "nothing" if entry.every is None else entry.every.describe()
            raise ValueError(f"a {cls.name} needs 'every', an interval greater than 0 s; got {got}")

    @classmethod
    def bind(cls, builder: Builder, entry: DisturbanceEntry) -> Impulses:
        """UserError for unknown bodies, and for intervals that no episode can have."""
        assert entry.every is not None
        builder.check_interval(entry.label, entry.every)
        bodies = builder.rows(entry.label, "body_mass", entry.of)
        name = draw_name(entry.label, entry.name, entry.of)
        builder.check_new(entry.label, [name], builder.impulses)
        builder.impulses.add(name)
        rows = np.array([row for row, *_ in bodies.values()], dtype=np.intp)
        return Impulses(key_of(name), rows, entry.distribution, entry.every, entry.axes)


class Twist(Push):
    """An angular impulse, as a push."""

    name, unit, turns = "twist", "N m s", True
