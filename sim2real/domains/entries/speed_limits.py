"""Force limits that fall with the speed of a joint, bound to the actuators of a model.

An electric motor has its stall torque at rest and none at its no-load speed; between them it falls
linearly in the direction of motion, and braking has all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.domains.binding.builder import Builder
from sim2real.domains.entries.imperfection import Actuation
from sim2real.domains.writes import Fixed
from sim2real.task import IntArray

_JOINTS = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
_TURNS_OR_SLIDES = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


@dataclass(frozen=True, eq=False)
class SpeedLimit:
    """Actuators whose force limit falls with the speed of their joints, k of them.

    Shapes (k,): `rows` of the actuators, `dofs` that they move, `signs` of their gears, and the
    context entries `sources` of the speeds at which nothing is left. Where `scaled`, the limit at
    rest is the gain times the control range, else the force range.
    """

    rows: NDArray[np.intp]
    dofs: NDArray[np.intp]
    signs: NDArray[np.float64]
    sources: NDArray[np.intp]
    scaled: NDArray[np.bool_]


def bind_speed_limit(
    builder: Builder, entry: Actuation, elements: Mapping[str, IntArray]
) -> SpeedLimit:
    """Bind a no-load speed to the actuators `elements`, rows by name, after what sets their limits.

    Raises UserError for an actuator that moves no hinge or slide, and for one without a limit.
    """
    model = builder.model
    rows = np.concatenate(list(elements.values()))
    for row in rows.tolist():
        name = model.actuator(row).name
        if not moves_one_dof(model, row):
            raise builder.error(entry.label, f"{name} moves no hinge or slide, so it has no speed")
        if not (_has_range(builder, row) or _is_motor(model, row)):
            problem = f"{name} has no limit that could fall; give it one by a torque_limit"
            raise builder.error(entry.label, problem)
    drawn = builder.draws(entry.label, list(elements), entry.distribution, entry.is_shared)
    sizes = [len(found) for found in elements.values()]
    scaled = np.array([not _has_range(builder, row) for row in rows.tolist()])
    joints = model.actuator_trnid[rows, 0]
    if scaled.any():
        columns = rows[scaled].astype(np.intp)
        on = np.ones(len(columns))
        builder.writes.append(Fixed("actuator_forcelimited", columns, columns[:0], on, "set"))
    return SpeedLimit(
        rows=rows.astype(np.intp),
        dofs=model.jnt_dofadr[joints].astype(np.intp),
        signs=np.sign(model.actuator_gear[rows, 0]),
        sources=np.repeat(np.array(drawn, dtype=np.intp), sizes),
        scaled=scaled,
    )


def moves_one_dof(model: mujoco.MjModel, row: int) -> bool:
    """Whether the actuator of a `row` moves a hinge or a slide."""
    if model.actuator_trntype[row] not in _JOINTS:
        return False
    return model.jnt_type[model.actuator_trnid[row, 0]] in _TURNS_OR_SLIDES


def _has_range(builder: Builder, row: int) -> bool:
    """Whether the model, or another parameter, gives an actuator a force range."""
    written = [write.columns for write in builder.writes if write.array == "actuator_forcerange"]
    limited = bool(builder.model.actuator_forcelimited[row])
    return limited or any(2 * row + 1 in columns for columns in written)


def _is_motor(model: mujoco.MjModel, row: int) -> bool:
    """Whether the force is the gain times a limited control, and nothing else."""
    fixed = model.actuator_gaintype[row] == int(mujoco.mjtGain.mjGAIN_FIXED)
    plain = model.actuator_biastype[row] == int(mujoco.mjtBias.mjBIAS_NONE)
    return bool(fixed and plain and model.actuator_ctrllimited[model.actuator_ctrladr[row]])
