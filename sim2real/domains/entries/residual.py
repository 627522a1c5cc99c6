"""A residual force or torque of a joint: what the model of the joint does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import mujoco
import numpy as np

from sim2real.domains.entries.stage import Effect, Load, Moment, option
from sim2real.task import Array, IntArray

HINGE_OR_SLIDE = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


class Residual(Load):
    """A hidden unit of a network: magnitude * tanh(a q + b v + c u + d), constant in a step.

    q, v and u are the position, the speed and the command (the sum over its actuators) of the
    joint; a, b, c and d the `options` position, speed, command and offset. Several entries for one
    joint add up. The position of a ball or free joint counts as 0.
    """

    name, unit, acts_on, adds_up = "residual", "N or N m", "joint", True
    options: ClassVar[Mapping[str, float]] = {
        "position": 0.0,
        "speed": 1.0,
        "command": 0.0,
        "offset": 0.0,
    }

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The degrees of freedom, and the numbers of the units, (k,) each."""
        self._dofs = np.concatenate([one.columns for one in effects])
        self._position, self._speed, self._command, self._offset = (
            option(effects, name) for name in self.options
        )

    def apply(self, values: Array, moment: Moment) -> None:
        """Add the forces of all units to those of their joints, in place."""
        model, rows = self.world.model, moment.rows
        joints = model.dof_jntid[self._dofs]
        plain = np.isin(model.jnt_type[joints], HINGE_OR_SLIDE)
        positions = self.world.qpos[rows][:, model.jnt_qposadr[joints]] * plain
        commands = self.world.ctrl[rows] @ _actuators(model, self._dofs)
        units = np.tanh(
            self._position * positions
            + self._speed * self.world.qvel[rows][:, self._dofs]
            + self._command * commands
            + self._offset
        )
        np.add.at(values.T, self._dofs, (self.magnitude[rows] * units).T)


def _actuators(model: mujoco.MjModel, dofs: IntArray) -> Array:
    """1 where an actuator moves the joint of a degree of freedom, (nu, k)."""
    on_joint = model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT
    moves: Array = np.asarray(
        (model.actuator_trnid[:, :1] == model.dof_jntid[dofs]) & on_joint[:, None], dtype=np.float64
    )
    return moves
