"""Accelerations in fixed states: poses that were visited, random, in contact and at limits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.simulation.warnings import warnings_logged
from sim2real.task import Array, IntArray

TRIES, MOST = 100, 25
"""Random poses tried for contacts with the surroundings, and the most that are used."""
DEEP = 0.1
"""How deep a pose is pressed into the floor, of the size of the model."""


@dataclass(frozen=True)
class Contacts:
    """The contacts of all states together: geoms (m, 2), friction (m, 5), dim (m,)."""

    geoms: IntArray
    friction: Array
    dim: IntArray


@dataclass(frozen=True)
class States:
    """Fixed states and controls. Shapes: qpos (s, nq), qvel (s, nv), ctrl (s, nu)."""

    qpos: Array
    qvel: Array
    ctrl: Array


@dataclass(frozen=True)
class Forces:
    """Forces of a model in `States`: accelerations (s, nv), actuator forces (s, nu), contacts, and
    the most iterations that the solver took."""

    acceleration: Array
    force: Array
    contacts: Contacts
    iterations: int


def probe_states(model: mujoco.MjModel, states: States) -> Forces:
    """Accelerations of `model` in each of the states, from a cold start of the solver."""
    data = mujoco.MjData(model)
    acceleration = np.empty(states.qvel.shape)
    force = np.empty(states.ctrl.shape)
    found: list[tuple[IntArray, Array, IntArray]] = []
    iterations = 0
    with warnings_logged():
        for row in range(len(states.qpos)):
            data.qpos[:], data.qvel[:] = states.qpos[row], states.qvel[row]
            data.ctrl[:], data.qacc_warmstart[:] = states.ctrl[row], 0.0
            mujoco.mj_forward(model, data)
            acceleration[row], force[row] = data.qacc, data.actuator_force
            iterations = max(iterations, int(np.max(data.solver_niter)))
            contact = data.contact
            found.append((contact.geom.copy(), contact.friction.copy(), contact.dim.copy()))
    geoms, friction, dim = (np.concatenate(one) for one in zip(*found, strict=True))
    return Forces(acceleration, force, Contacts(geoms, friction, dim), iterations)


def make_states(
    model: mujoco.MjModel, visited: tuple[Array, Array], start: Array, seed: int
) -> States:
    """States to probe, each with no, random and full controls.

    They are `visited` ones, qpos (m, nq) and qvel (m, nv), random poses, poses that touch the
    surroundings, joint limits, and `start` (nq,) at rest.
    """
    rng = np.random.default_rng(seed)
    random = np.array([_random_pose(model, rng) for _ in range(6)])
    limits = np.array([_at_limits(model, start, side) for side in (0, 1)])
    touching = np.array(_touching(model, rng)).reshape(-1, model.nq)
    posed = np.concatenate([touching, random, limits, start[None]])
    qpos = np.concatenate([visited[0], posed])
    velocity = rng.standard_normal((len(posed), model.nv))
    velocity[-1] = 0.0
    qvel = np.concatenate([visited[1], velocity])
    low, high = model.actuator_ctrlrange.T
    size = (len(qpos), model.nu)
    rest = np.broadcast_to(np.clip(0.0, low, high), size)
    random_controls = rng.uniform(low, high, size)
    full = np.where(rng.random(size) < 0.5, low, high)
    controls = np.concatenate([rest, random_controls, full])
    return States(np.tile(qpos, (3, 1)), np.tile(qvel, (3, 1)), controls)


def _random_pose(model: mujoco.MjModel, rng: np.random.Generator) -> Array:
    """Every joint anywhere within its limits; where it has none, within half a metre or a turn."""
    qpos: Array = model.qpos0.copy()
    for joint in range(model.njnt):
        first, kind = model.jnt_qposadr[joint], model.jnt_type[joint]
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            qpos[first : first + 3] += rng.uniform(-0.5, 0.5, 3)
            qpos[first + 3 : first + 7] = _random_turn(rng)
        elif kind == mujoco.mjtJoint.mjJNT_BALL:
            qpos[first : first + 4] = _random_turn(rng)
        elif model.jnt_limited[joint]:
            qpos[first] = rng.uniform(*model.jnt_range[joint])
        else:
            reach = 0.5 if kind == mujoco.mjtJoint.mjJNT_SLIDE else np.pi
            qpos[first] += rng.uniform(-reach, reach)
    return qpos


def _random_turn(rng: np.random.Generator) -> Array:
    quaternion = rng.standard_normal(4)
    turn: Array = quaternion / np.linalg.norm(quaternion)
    return turn


def _touching(model: mujoco.MjModel, rng: np.random.Generator) -> list[Array]:
    """Random poses, lowered until they touch what does not move; each adds a pair of geoms."""
    height = _height(model)
    fixed = model.body_weldid[model.geom_bodyid] == 0
    data = mujoco.MjData(model)
    found: list[Array] = []
    known: set[tuple[int, int]] = set()
    for _ in range(TRIES if fixed.any() else 0):
        qpos = _random_pose(model, rng)
        _lower(model, data, qpos, height, fixed)
        for depth in (0.0, DEEP * model.stat.extent):  # pressed down, more of it touches
            if height is not None:
                qpos[height] -= depth
            pairs = _pairs(model, data, qpos, fixed)
            if not pairs <= known and len(found) < MOST:
                found.append(qpos.copy())
                known |= pairs
    return found


def _lower(
    model: mujoco.MjModel, data: mujoco.MjData, qpos: Array, height: int | None, fixed: Array
) -> None:
    """Lower or lift `qpos` in place until it just touches what does not move."""
    if height is None:
        return
    low, high = qpos[height] - model.stat.extent, qpos[height] + model.stat.extent
    for _ in range(12):
        qpos[height] = (low + high) / 2
        touches = _pairs(model, data, qpos, fixed)
        low, high = (qpos[height], high) if touches else (low, qpos[height])
    qpos[height] = low


def _pairs(
    model: mujoco.MjModel, data: mujoco.MjData, qpos: Array, fixed: Array
) -> set[tuple[int, int]]:
    """The pairs of geoms in contact of which one does not move."""
    data.qpos[:] = qpos
    mujoco.mj_fwdPosition(model, data)
    geoms = data.contact.geom
    return {tuple(pair) for pair in geoms[fixed[geoms].any(axis=1)].tolist()}


def _height(model: mujoco.MjModel) -> int | None:
    """The place in qpos of the joint that lifts the robot; None if there is no such."""
    for joint in range(model.njnt):
        kind = model.jnt_type[joint]
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            return int(model.jnt_qposadr[joint]) + 2
        on_world = model.body_parentid[model.jnt_bodyid[joint]] == 0
        upward = kind == mujoco.mjtJoint.mjJNT_SLIDE and model.jnt_axis[joint, 2] > 0.99
        if on_world and upward and not model.jnt_limited[joint]:
            return int(model.jnt_qposadr[joint])
    return None


def _at_limits(model: mujoco.MjModel, start: Array, side: int) -> Array:
    """Every limited joint a little beyond its lower (0) or upper (1) limit."""
    qpos = start.copy()
    for joint in np.flatnonzero(model.jnt_limited):
        if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_BALL:  # whose limit is one of its angle
            low, high = model.jnt_range[joint]
            beyond = 0.02 * (high - low)
            qpos[model.jnt_qposadr[joint]] = (low - beyond, high + beyond)[side]
    return qpos


def twin_states(states: States, by: float) -> States:
    """The same states, `by` beside."""
    return dataclasses.replace(states, qpos=states.qpos + by, qvel=states.qvel + by)
