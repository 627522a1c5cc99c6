"""Dry friction that grows with the load of a gearing, bound to the actuators of a model.

    friction = base + |a motor + b bias|

`motor` is the force of the actuators at the joint, `bias` what they bear of gravity, Coriolis and
centrifugal forces (MuJoCo's `qfrc_actuator` and `qfrc_bias`), `base` the joint's dry friction.
A gearing at rest bears the same force on both sides, so it is (a + b) times that. Load-dependent
friction of the directional kind in Duclusaud et al. 2025 ("Extended friction models for the physics
simulation of servo actuators").
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

    Shapes (k,): the `dofs`, the context entries `sources` of the factor a, and the ratios b / a.
    """

    dofs: IntArray
    sources: IntArray
    ratios: Array


class LoadFriction(SubstepKind):
    """Dry friction of the joint per load of its gearing: the factor a of |a motor + b bias|.

    The option `back` is b / a.
    """

    name, low, quantity = "load_friction", 0.0, "load"
    options: ClassVar[Mapping[str, float]] = {"back": 1.0}

    @classmethod
    def bind(cls, builder: Builder, entry: Entry, rows: IntArray, sources: IntArray) -> LoadedJoint:
        """Bind it to the joints of the actuators."""
        model, options = builder.model, {**cls.options, **entry.options}
        dofs = model.jnt_dofadr[model.actuator_trnid[rows, 0]].astype(np.intp)
        return LoadedJoint(dofs, sources, np.full(len(rows), options["back"]))
