"""What the code of a task does to commands and readings, found by trying it.

A task is Python. A robot's controller needs what it does as numbers: which joint an actuator moves,
which command an action gives, which joint a number of the observation belongs to. What is not
affine, or depends on anything else, has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np

from sim2real.simulation import Simulation
from sim2real.task import Array

SAME = 1e-9
"""Largest difference, as a share of what is compared, of two maps that are taken for equal."""
TRIED = 16
"""Worlds in which something is tried: random actions, each in another start state."""
FAR = 100.0
"""rad or m; half of the random positions are so far away that an angle that is wrapped shows."""
_JOINTS = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
_KIND_OF_JOINT = {
    int(mujoco.mjtJoint.mjJNT_HINGE): "hinge",
    int(mujoco.mjtJoint.mjJNT_SLIDE): "slide",
}
_SCALAR = tuple(_KIND_OF_JOINT)


@dataclass(frozen=True)
class Command:
    """clip(base + scale action, low, high), each (nu,), of an action in the task's own range.

    The base is the `offset`, or with a `term` what the task observes under this name: the command
    before, of servos that are moved in steps.
    """

    offset: Array
    scale: Array
    low: Array
    high: Array
    term: str | None = None


@dataclass(frozen=True)
class Reading:
    """A number of the observation: offset + scale x, of the position or velocity x of a joint."""

    joint: str
    quantity: Literal["position", "velocity"]
    scale: float
    offset: float


def command_of(simulation: Simulation) -> Command | None:
    """How an action becomes a command; None where it is neither affine nor a step from the last.

    `simulation` has `TRIED` worlds; what its task remembers is changed.
    """
    limits = np.array(simulation.model.actuator_ctrlrange, dtype=np.float64).T
    affine = _affine(simulation)
    if affine is not None:
        return Command(*affine, *limits)
    for name, values in simulation.memory.items():
        shown = simulation.task.observe(simulation)
        commanded = name in simulation.task.commanded
        if commanded and np.shape(shown[name]) == values.shape == (TRIED, simulation.model.nu):
            return _stepping(simulation, name)
    return None


def _actions(simulation: Simulation) -> Array:
    """Random actions, (n, nu), within the task's range."""
    space, shape = simulation.action_range, (simulation.num_envs, simulation.model.nu)
    width = (space.high - space.low).astype(float)
    return space.low + width * np.random.default_rng(0).random(shape)


def _affine(simulation: Simulation) -> tuple[Array, Array] | None:
    """Offset and scale of the commands, if they depend on the action alone."""
    before = {name: values.copy() for name, values in simulation.memory.items()}
    tried = _actions(simulation)
    offset, one, found = (
        np.array(simulation.task.control(simulation, action), dtype=np.float64)
        for action in (np.zeros_like(tried), np.ones_like(tried), tried)
    )
    scale = one[0] - offset[0]
    changed = any((before[name] != values).any() for name, values in simulation.memory.items())
    expected = offset[0] + scale * tried
    off = max(np.abs(found - expected).max(), np.abs(offset - offset[0]).max())
    same = off <= SAME * (np.abs(expected).max() + 1.0)
    return (offset[0], scale) if same and not changed else None


def _stepping(simulation: Simulation, name: str) -> Command | None:
    """A command that is the one before, in `memory[name]`, and a share of the action."""
    memory, tried = simulation.memory[name], _actions(simulation)

    def control(base: Array, action: Array) -> Array:
        memory[:] = base
        given = np.array(simulation.task.control(simulation, action), dtype=np.float64)
        return given if np.array_equal(given, memory) else np.full_like(given, np.nan)

    still = np.zeros_like(tried)
    low, high = (control(still + end, still)[0] for end in (-1e6, 1e6))
    middle = (low + high) / 2
    scale = control(still + middle, still + 1e-3)[0] / 1e-3 - middle / 1e-3
    base = low + (high - low) * np.random.default_rng(1).random(tried.shape)
    expected = np.clip(base + scale * tried, low, high)
    off = np.abs(control(base, tried) - expected).max()
    return Command(np.zeros_like(low), scale, low, high, name) if off <= 1e-6 else None


def joint_readings(simulation: Simulation) -> dict[str, list[Reading | None]]:
    """The joint of each number of each term that the task observes; None where it has none.

    `simulation` has `TRIED` worlds; its states are changed.
    """
    model, rng = simulation.model, np.random.default_rng(0)
    joints = [model.joint(i) for i in range(model.njnt) if model.jnt_type[i] in _SCALAR]
    places = [int(joint.qposadr[0]) for joint in joints]
    rates = [int(joint.dofadr[0]) for joint in joints]
    spread = np.where(np.arange(simulation.num_envs) % 2, FAR, 1.0)[:, None]
    qpos, qvel = simulation.qpos.copy(), simulation.qvel.copy()
    for state, columns in ((qpos, places), (qvel, rates)):
        state[:, columns] = spread * rng.normal(size=(len(state), len(columns)))
        state[0, columns], state[1, columns] = 0.0, 1.0
    simulation.write_state(qpos, qvel)
    names = [joint.name for joint in joints]
    tried = [(name, "position", qpos[:, at]) for name, at in zip(names, places, strict=True)]
    tried += [(name, "velocity", qvel[:, at]) for name, at in zip(names, rates, strict=True)]
    observed = simulation.task.observe(simulation)
    return {
        name: [_reading(column, tried) for column in np.asarray(values, dtype=float).T]
        for name, values in observed.items()
    }


def _reading(column: Array, tried: list[tuple[str, str, Array]]) -> Reading | None:
    """The joint whose numbers are those of the `column`, (n,), up to an affine map."""
    offset = float(column[0])
    scale = float(f"{column[1] - offset:.12g}")
    if scale == 0.0:
        return None
    for name, quantity, values in tried:
        off = np.abs(offset + scale * values - column).max()
        if off <= SAME * (np.abs(column).max() + 1.0):
            return Reading(name, quantity, scale, offset)  # type: ignore[arg-type]
    return None


def moved_joints(model: mujoco.MjModel) -> list[str | None]:
    """The joint that each actuator moves; None where it moves a tendon, a site or a body."""
    return [
        model.joint(int(model.actuator_trnid[row, 0])).name
        if model.actuator_trntype[row] in _JOINTS
        else None
        for row in range(model.nu)
    ]


def joint_kinds(model: mujoco.MjModel) -> dict[str, str]:
    """What each joint that has one position does: hinge (rad) or slide (m)."""
    joints = (model.joint(row) for row in range(model.njnt) if model.jnt_type[row] in _SCALAR)
    return {joint.name: _KIND_OF_JOINT[int(joint.type[0])] for joint in joints}


def command_kinds(model: mujoco.MjModel) -> list[tuple[str, str]]:
    """What the command of each actuator is, and its unit, "" where it has none of its own.

    position: the goal of a servo, rad or m; velocity: its goal, rad/s or m/s; force: N m or N, of
    an actuator that gives its command to a joint as it is; other: anything else, such as a share
    of the largest force or a voltage.
    """
    kinds = joint_kinds(model)
    return [
        _command_kind(model, row, kinds.get(name or "", ""))
        for row, name in enumerate(moved_joints(model))
    ]


def _command_kind(model: mujoco.MjModel, row: int, joint: str) -> tuple[str, str]:
    if not joint or model.actuator_dyntype[row] or model.actuator_gaintype[row]:
        return "other", ""
    length = "rad" if joint == "hinge" else "m"
    gain, gear = model.actuator_gainprm[row, 0], model.actuator_gear[row, 0]
    stiffness, damping = 0.0 - model.actuator_biasprm[row, 1:3]
    if gear == 1 and gain > 0 and stiffness == gain:
        return "position", length
    if gear == 1 and gain > 0 and stiffness == 0 and damping == gain:
        return "velocity", f"{length}/s"
    if gear * gain == 1 and not model.actuator_biastype[row]:
        return "force", "N m" if joint == "hinge" else "N"
    return "other", ""


def to_task(simulation: Simulation) -> tuple[Array, Array]:
    """Half the width and the middle of the task's range, (nu,); 1 and 0 without an action map."""
    if simulation.action_map is None:
        return np.ones(simulation.model.nu), np.zeros(simulation.model.nu)
    low, high = np.array(simulation.action_map.low), np.array(simulation.action_map.high)
    return (high - low) / 2, (high + low) / 2
