"""Constant forces and torques on bodies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim2real.domains.binding.builder import Builder
from sim2real.domains.entries.disturbance import ON_BODIES, DisturbanceEntry, DisturbanceKind


@dataclass(frozen=True)
class ConstantForce:
    """A constant force (N) or torque (N m) on `bodies[k]`: the context entry `sources[k]`.

    `axis` is the column of `xfrc_applied`.
    """

    bodies: NDArray[np.intp]
    sources: NDArray[np.intp]
    axis: int


class Force(DisturbanceKind):
    """A constant force on bodies, in the world's frame."""

    name, unit, form, order = "force", "N", ON_BODIES, 1

    @classmethod
    def bind(cls, builder: Builder, entry: DisturbanceEntry) -> ConstantForce:
        """UserError for unknown bodies."""
        rows = builder.rows(entry.label, "body_mass", entry.of)
        sources = builder.draw_entry(entry, list(rows))
        bodies = np.array([row for row, *_ in rows.values()], dtype=np.intp)
        (axis,) = entry.axes
        return ConstantForce(bodies, np.array(sources, dtype=np.intp), axis)


class Torque(Force):
    """A constant torque on bodies, in the world's frame."""

    name, unit, turns = "torque", "N m", True
