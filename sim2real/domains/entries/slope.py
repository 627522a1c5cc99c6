"""A sloping floor, as a change of gravity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim2real.domains.binding.builder import Builder
from sim2real.domains.entries.disturbance import DisturbanceEntry, DisturbanceKind, Form
from sim2real.domains.model_fields.table import nominal_array
from sim2real.domains.writes import Write
from sim2real.task import Array


@dataclass(frozen=True)
class Tilt(Write):
    """Gravity as seen from a floor that slopes: what `inner` makes of it, turned.

    A floor that rises by p along x is, in its own frame, level ground under a gravity turned by p
    about y: (0, 0, -g) becomes (-g sin p, 0, -g cos p). Everything else is the same in that frame,
    so the two are exactly equivalent. `axis` is 0 for a pitch and 1 for a roll.
    """

    inner: tuple[Write, ...]
    axis: int

    def values(self, draws: Array) -> Array:
        """New gravity, (m, 3), for the draws (m, context)."""
        gravity = np.tile(self.nominal, (len(draws), 1))
        for write in self.inner:
            gravity[:, write.columns] = write.values(draws)
        angle = draws[:, self.sources[0]]
        along, down = gravity[:, self.axis].copy(), gravity[:, 2].copy()
        level = angle == 0  # level ground is left alone, to the sign of a zero
        cos, sin = np.cos(angle), np.sin(angle)
        gravity[:, self.axis] = np.where(level, along, along * cos + down * sin)
        gravity[:, 2] = np.where(level, down, down * cos - along * sin)
        return gravity


class Slope(DisturbanceKind):
    """The angle by which the floor rises."""

    name, unit, low, high, order = "slope", "rad", -1.5, 1.5, 2
    form = Form(("direction",), directions=("pitch", "roll"))

    @classmethod
    def check(cls, entry: DisturbanceEntry) -> None:
        """Refuse angles that are too steep."""
        low, high = entry.distribution.support
        if not cls.low < low <= high < cls.high:
            raise ValueError(f"a slope must lie within -1.5 to 1.5 rad, got {entry.amount()}")

    @classmethod
    def bind(cls, builder: Builder, entry: DisturbanceEntry) -> None:
        """Apply the slope after all other changes of gravity; UserError without gravity."""
        nominal = nominal_array(builder.model, "opt.gravity").reshape(-1)
        inner = tuple(write for write in builder.writes if write.array == "opt.gravity")
        if not inner and not nominal.any():
            raise builder.error(entry.label, "there is no gravity, so a slope has no effect")
        sources = np.array(builder.draw_entry(entry, [""]))
        axis = 0 if entry.towards == "pitch" else 1
        tilt = Tilt("opt.gravity", np.arange(3), sources, nominal, "set", inner, axis)
        others = [write for write in builder.writes if write.array != "opt.gravity"]
        builder.writes[:] = [*others, tilt]
