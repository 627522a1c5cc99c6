"""What the code of a task does to commands and readings, found by trying it.

A task is Python. A robot's controller needs what it does as numbers: which joint an actuator moves,
which command an action gives. A map that is not affine, or that depends on a state, has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.simulation import Simulation
from sim2real.task import Array

SAME = 1e-9
"""Largest difference, as a share of what is compared, of two maps that are taken for equal."""
TRIED = 16
"""Random actions, each in another start state."""
_JOINTS = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))


@dataclass(frozen=True)
class Affine:
    """command = offset + scale action, each (nu,)."""

    offset: Array
    scale: Array


def commands_of(simulation: Simulation) -> Affine | None:
    """The commands of the actuators for an action in the task's own range.

    None where they depend on more than the action, as that of a servo that is moved in steps.
    `simulation` has `TRIED` worlds; what its task remembers is changed.
    """
    task, space = simulation.task, simulation.action_range
    before = {name: values.copy() for name, values in simulation.memory.items()}
    nu, n = simulation.model.nu, simulation.num_envs
    width = (space.high - space.low).astype(float)
    tried = space.low + width * np.random.default_rng(0).random((n, nu))
    given = [task.control(simulation, action) for action in (0.0 * tried, 0.0 * tried + 1.0, tried)]
    offset, one, found = (np.asarray(values, dtype=np.float64) for values in given)
    scale = one[0] - offset[0]
    expected = offset[0] + scale * tried
    size = np.abs(expected).max() + 1.0
    changed = any((before[name] != values).any() for name, values in simulation.memory.items())
    if changed or np.abs(offset - offset[0]).max() > SAME * size:
        return None
    return Affine(offset[0], scale) if np.abs(found - expected).max() <= SAME * size else None


def moved_joints(model: mujoco.MjModel) -> list[str | None]:
    """The joint that each actuator moves; None where it moves a tendon, a site or a body."""
    return [
        model.joint(int(model.actuator_trnid[row, 0])).name
        if model.actuator_trntype[row] in _JOINTS
        else None
        for row in range(model.nu)
    ]
