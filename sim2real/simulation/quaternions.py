"""The places of unit quaternions in an observation, found by trying poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mujoco
import numpy as np

from sim2real.domains import Domain
from sim2real.simulation.warnings import warnings_logged
from sim2real.simulation.worlds import Worlds
from sim2real.task import Array, ObservationTerm, Task

POSES = 8
_SEED = 20_261
_TOLERANCE = 1e-9
_VARIES = 1e-3
_STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)


def find_quaternions(
    task: Task, world: Worlds, terms: Sequence[ObservationTerm], domain: Domain
) -> tuple[int, ...]:
    """The first column of each quaternion among the columns of `terms`.

    That is four neighbouring numbers of one term of norm 1 in `POSES` random poses, all of which
    vary. Nothing is tried where no sensor of `domain` changes numbers. The worlds are left in the
    model's default state.
    """
    return _among(_observations(task, world), terms) if _changes_numbers(domain) else ()


def find_foreign_quaternions(
    unwrapped: Any, observe: Callable[[], Array], terms: Sequence[ObservationTerm], domain: Domain
) -> tuple[int, ...]:
    """As `find_quaternions`, in an environment with `model` and `data`.

    `observe` gives its observation, (k,). None are found where it cannot do so in any pose. The
    environment is left in the state that it had.
    """
    if not _changes_numbers(domain):
        return ()
    model, data = unwrapped.model, unwrapped.data
    state = np.zeros(mujoco.mj_stateSize(model, _STATE))
    mujoco.mj_getState(model, data, state, _STATE)
    rng = np.random.default_rng(_SEED)
    rows = []
    try:
        with warnings_logged():
            for _ in range(POSES):
                data.qpos[:] = _pose(model, rng)
                mujoco.mj_forward(model, data)
                rows.append(observe())
        return _among(np.array(rows), terms)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        return ()  # it observes in an episode only, or its wrappers make something else of it
    finally:
        mujoco.mj_setState(model, data, state, _STATE)
        with warnings_logged():
            mujoco.mj_forward(model, data)
        mujoco.mj_setState(model, data, state, _STATE)  # a forward pass moves the warm start


def _changes_numbers(domain: Domain) -> bool:
    return any(not entry.kind.keeps_length for entry in domain.sensing)


def _among(seen: Array, terms: Sequence[ObservationTerm]) -> tuple[int, ...]:
    """The first columns of the quaternions in the observations `seen`, (poses, columns)."""
    found: list[int] = []
    first = 0
    for term in terms:
        last = first + term.size
        column = first
        while column + 4 <= last:
            if _is_quaternion(seen[:, column : column + 4]):
                found.append(column)
                column += 4
            else:
                column += 1
        first = last
    return tuple(found)


def _is_quaternion(numbers: Array) -> bool:
    """Whether the rows (poses, 4) have norm 1, and each number varies."""
    units = np.abs(np.linalg.norm(numbers, axis=1) - 1.0) < _TOLERANCE
    return bool(units.all() and (np.ptp(numbers, axis=0) > _VARIES).all())


def _observations(task: Task, world: Worlds) -> Array:
    """The readings of the first world's perfect sensors in each pose, (poses, columns)."""
    rng = np.random.default_rng(_SEED)
    everywhere = np.arange(world.num_envs)
    rows = []
    with warnings_logged():
        for _ in range(POSES):
            world.reset_state(everywhere)
            world.qpos[:] = _pose(world.model, rng)
            world.derive(everywhere)
            world.catch_up()
            terms = task.observe(world)
            rows.append(np.concatenate([values[0] for values in terms.values()]))
    world.reset_state(everywhere)
    return np.array(rows)


def _pose(model: mujoco.MjModel, rng: np.random.Generator) -> Array:
    """A pose with every joint away from its reference, (nq,)."""
    qpos: Array = model.qpos0 + rng.uniform(-0.5, 0.5, model.nq)
    for joint in np.flatnonzero(model.jnt_type <= int(mujoco.mjtJoint.mjJNT_BALL)).tolist():
        free = model.jnt_type[joint] == int(mujoco.mjtJoint.mjJNT_FREE)
        start = int(model.jnt_qposadr[joint]) + (3 if free else 0)
        turn = rng.standard_normal(4)
        qpos[start : start + 4] = turn / np.linalg.norm(turn)
    return qpos
