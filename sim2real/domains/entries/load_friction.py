"""Dry friction that grows with the load of a gearing, bound to the actuators of a model.

    friction = base + a |motor + c bias|^p

`motor` is the force of the actuators at the joint, `bias` what they bear of gravity, Coriolis and
centrifugal forces (MuJoCo's `qfrc_actuator` and `qfrc_bias`), `base` the joint's dry friction.
A gearing at rest bears the same force on both sides, so with c = p = 1 it is 2 a times that.
Load-dependent friction of the directional kind in Duclusaud et al. 2025 ("Extended friction models
for the physics simulation of servo actuators").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sim2real.domains.binding.builder import Builder
from sim2real.domains.entries.entry import Entry
from sim2real.domains.entries.substep_kind import SubstepKind
from sim2real.task import Array, IntArray


@dataclass(frozen=True, eq=False)
class LoadedJoint:
    """Degrees of freedom whose dry friction grows with their load, k of them.

    Shapes (k,): the `dofs`, the context entries `sources` of the factor a, the ratios c and the
    powers p.
    """

    dofs: IntArray
    sources: IntArray
    ratios: Array
    powers: Array


class LoadFriction(SubstepKind):
    """Dry friction of the joint per load of its gearing: the factor a of a |motor + c bias|^p.

    The options `back` and `power` are c and p. Several entries add up.
    """

    name, low, quantity, adds_up = "load_friction", 0.0, "load", True
    options: ClassVar[Mapping[str, float]] = {"back": 1.0, "power": 1.0}

    @classmethod
    def bind(cls, builder: Builder, entry: Entry, rows: IntArray, sources: IntArray) -> LoadedJoint:
        """Bind it to the joints of the actuators."""
        model, options = builder.model, {**cls.options, **entry.options}
        if options["power"] <= 0:
            problem = f"power is {options['power']:g}; allowed: more than 0"
            raise builder.error(entry.label, problem)
        dofs = model.jnt_dofadr[model.actuator_trnid[rows, 0]].astype(np.intp)
        ratios, powers = (np.full(len(rows), options[name]) for name in ("back", "power"))
        return LoadedJoint(dofs, sources, ratios, powers)
