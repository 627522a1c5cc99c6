"""Force limits that fall with the speed of a joint, bound to the actuators of a model.

An electric motor has its stall torque at rest and none at its no-load speed; between them it falls
linearly in the direction of motion; a braking force is not limited.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.domains.binding.builder import Builder
from sim2real.domains.entries.entry import Entry
from sim2real.domains.entries.substep_kind import SubstepKind
from sim2real.domains.writes import Fixed
from sim2real.task import Array, BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class SpeedLimit:
    """Actuators whose force limit falls with the speed of their joints, k of them.

    Shapes (k,): `rows` of the actuators, `dofs` that they move, `signs` of their gears, and the
    context entries `sources` of the speeds at which no force is left. Where `scaled`, the limit at
    rest is the gain times the control range, else the force range.
    """

    rows: IntArray
    dofs: IntArray
    signs: Array
    sources: IntArray
    scaled: BoolArray


class NoLoadSpeed(SubstepKind):
    """The speed of the joint at which a motor or servo has no force left in its direction."""

    name, unit, quantity = "no_load_speed", "rad/s or m/s", "speed"
    low, open_low, identity = 0.0, True, None

    @classmethod
    def bind(cls, builder: Builder, entry: Entry, rows: IntArray, sources: IntArray) -> SpeedLimit:
        """Bind it after what sets the limits; UserError for an actuator without one."""
        model = builder.model
        scaled = np.array([not _has_range(builder, row) for row in rows.tolist()])
        for row in rows[scaled].tolist():
            if not _is_motor(model, row):
                name = model.actuator(row).name
                problem = f"{name} has no limit that could fall; give it one by a torque_limit"
                raise builder.error(entry.label, problem)
        if scaled.any():
            columns, on = rows[scaled], np.ones(scaled.sum())
            builder.writes.append(Fixed("actuator_forcelimited", columns, columns[:0], on, "set"))
        dofs = model.jnt_dofadr[model.actuator_trnid[rows, 0]].astype(np.intp)
        signs = np.sign(model.actuator_gear[rows, 0])
        return SpeedLimit(rows, dofs, signs, sources, scaled)


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
