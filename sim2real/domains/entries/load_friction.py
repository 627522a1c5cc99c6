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

import numpy as np
from numpy.typing import NDArray

from sim2real.domains.binding.builder import Builder
from sim2real.domains.entries.imperfection import Actuation
from sim2real.domains.entries.speed_limits import moves_one_dof
from sim2real.task import IntArray


@dataclass(frozen=True, eq=False)
class LoadFriction:
    """Degrees of freedom whose dry friction grows with their load, k of them.

    Shapes (k,): the `dofs`, the context entries `sources` of the factor a, and the ratios b / a.
    """

    dofs: NDArray[np.intp]
    sources: NDArray[np.intp]
    ratios: NDArray[np.float64]


def bind_load_friction(
    builder: Builder, entry: Actuation, elements: Mapping[str, IntArray]
) -> LoadFriction:
    """Bind a load-dependent friction to the joints of the actuators `elements`, rows by name.

    Raises UserError for an actuator that moves no hinge or slide.
    """
    model = builder.model
    rows = np.concatenate(list(elements.values()))
    for row in rows.tolist():
        if not moves_one_dof(model, row):
            name = model.actuator(row).name
            raise builder.error(entry.label, f"{name} moves no hinge or slide, so it has no load")
    drawn = builder.draws(entry.label, list(elements), entry.distribution, entry.is_shared)
    sizes = [len(found) for found in elements.values()]
    options = {**entry.kind.options, **entry.options}
    return LoadFriction(
        dofs=model.jnt_dofadr[model.actuator_trnid[rows, 0]].astype(np.intp),
        sources=np.repeat(np.array(drawn, dtype=np.intp), sizes),
        ratios=np.full(len(rows), options["back"]),
    )
