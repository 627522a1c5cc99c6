"""The rest point of each control: the command at which its actuator does nothing.

MuJoCo's `motor`, `position`, `velocity`, ... are one general actuator with
force = gain x control + bias (XML reference, `actuator/general`): the numbers determine what a
control means, also of a user's own `general` actuator.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.task import Array, BoolArray, IntArray

_SETPOINTS = (int(mujoco.mjtGain.mjGAIN_PID), int(mujoco.mjtGain.mjGAIN_DCMOTOR))
_PLAIN = (int(mujoco.mjtGain.mjGAIN_FIXED), int(mujoco.mjtGain.mjGAIN_AFFINE))
_INPUTS = 4  # of a `pid` or `dcmotor`, in this order: position, velocity, feedforward, voltage


@dataclass(frozen=True, eq=False)
class Rest:
    """The rest points of k controls: the `values` (k,) at which the actuators do nothing.

    Where a control `holds` (k,) it is a target that the actuator moves to. It has no such value: a
    servo without a new command holds its last target.
    """

    values: Array
    holds: BoolArray

    def of(self, columns: IntArray) -> Rest:
        """The rest points of some of the controls."""
        return Rest(self.values[columns], self.holds[columns])


def no_rest(count: int) -> Rest:
    """The rest points of `count` numbers that are 0, like readings."""
    return Rest(np.zeros(count), np.zeros(count, dtype=bool))


def rest_points(model: mujoco.MjModel) -> Rest:
    """The rest points of the controls of `model`, `nu` of them."""
    rest = no_rest(model.nu)
    for row in range(len(model.actuator_ctrladr)):
        first, count = int(model.actuator_ctrladr[row]), int(model.actuator_ctrlnum[row])
        rest.holds[first : first + count] = _targets(model, row, count)
        if count == 1 and not rest.holds[first]:
            rest.values[first] = _balancing(model, row)
    limited = np.asarray(model.actuator_ctrllimited, dtype=bool)
    low, high = model.actuator_ctrlrange[limited].T
    rest.values[limited] = np.clip(rest.values[limited], low, high)
    return rest


def _targets(model: mujoco.MjModel, row: int, count: int) -> list[bool]:
    """Which of an actuator's controls are targets of a length, an angle or an orientation."""
    kind = int(model.actuator_gaintype[row])
    if kind in _SETPOINTS:
        given = [bit for bit in range(_INPUTS) if model.actuator_ctrlspec[row] >> bit & 1]
        return [bit == 0 for bit in given]
    return [kind == int(mujoco.mjtGain.mjGAIN_SO3) or _follows_length(model, row)] * count


def _follows_length(model: mujoco.MjModel, row: int) -> bool:
    """Whether the force vanishes at a length that the control decides, as of a `position` servo.

    The control of an integrator is the rate of a target, not a target.
    """
    affine = model.actuator_biastype[row] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    rate = model.actuator_dyntype[row] == int(mujoco.mjtDyn.mjDYN_INTEGRATOR)
    return bool(affine and not rate and model.actuator_biasprm[row, 1])


def _balancing(model: mujoco.MjModel, row: int) -> float:
    """The control at which a plain actuator at rest gives no force: gain x control + bias = 0."""
    plain = int(model.actuator_gaintype[row]) in _PLAIN
    affine = model.actuator_biastype[row] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    rate = model.actuator_dyntype[row] == int(mujoco.mjtDyn.mjDYN_INTEGRATOR)
    gain = model.actuator_gainprm[row, 0]
    if not (plain and affine and gain) or rate:
        return 0.0
    return float(-model.actuator_biasprm[row, 0] / gain)
