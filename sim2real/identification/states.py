"""States estimated from observations alone: what a log shows of positions and velocities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.identification.replay import Replay, differences, moved
from sim2real.task import Array, BoolArray, IntArray

PROBE = 0.01
"""How far a coordinate is moved to see what the sensors show of it: more than a step of an encoder,
in m, rad, m/s or rad/s."""
DAMPING = 1e-6
"""Share of the largest eigenvalue, by which directions that no sensor shows stay where they are."""
ITERATIONS, SETTLED = 4, 1e-6
STARTS, FITS = 8, 1.0
"""Starts of the search, at most; none after the readings are met within their scale."""


@dataclass(frozen=True)
class States:
    """Estimated states of m rows of a log: `qpos` (m, nq), `qvel` (m, nv).

    `seen` (2 nv,) tells which positions, then velocities, the sensors show in one reading.
    """

    qpos: Array
    qvel: Array
    seen: BoolArray


def estimate(
    replay: Replay,
    readings: Array,
    memory: Mapping[str, Array],
    scale: Array,
    used: BoolArray,
    starts: int = STARTS,
) -> States:
    """The states that show the `readings` (m, k) best: Gauss-Newton through the task's `observe`.

    Columns of the readings that are `used` (k,) count, in units of `scale` (k,). Where `observe`
    shows coordinates as they are, the first step finds them. What no sensor shows stays at the
    model's default. The search has up to `starts` starts.
    """
    given = _Given(replay, readings, memory, np.where(used, 1.0 / scale, 0.0))
    best, error = given.fitted(np.tile(replay.model.qpos0, (len(readings), 1)))
    rng = np.random.default_rng(0)
    for _ in range(starts - 1):
        if (error < FITS).all():
            break
        other, other_error = given.fitted(_elsewhere(replay, len(readings), rng))
        better = (other_error < error)[:, None]
        error = np.minimum(error, other_error)
        best = States(
            np.where(better, other.qpos, best.qpos),
            np.where(better, other.qvel, best.qvel),
            best.seen | other.seen,
        )
    return best


@dataclass(frozen=True)
class _Given:
    """Readings to find states for, with the weight of each column (k,)."""

    replay: Replay
    readings: Array
    memory: Mapping[str, Array]
    weights: Array

    def fitted(self, qpos: Array) -> tuple[States, Array]:
        """States found from the positions `qpos`, and the error of each in units of the scale."""
        model = self.replay.model
        qvel = np.zeros((len(qpos), model.nv))
        seen = np.zeros(2 * model.nv, dtype=bool)
        for _ in range(ITERATIONS):
            shown, slopes = linearized(self.replay, qpos, qvel, self.memory)
            residuals = (self.readings - shown) * self.weights
            step, seen = _gauss_newton(slopes * self.weights[:, None], residuals)
            qpos, qvel = moved(model, qpos, qvel, step)
            if np.abs(step).max() < SETTLED:  # after the second step where `observe` is linear
                break
        shown = self.replay.readings_at(qpos, qvel, self.memory)
        errors = np.sqrt(np.mean(((self.readings - shown) * self.weights) ** 2, axis=1))
        return States(qpos, qvel, seen), errors


def _elsewhere(replay: Replay, count: int, rng: np.random.Generator) -> Array:
    """Positions with every hinge at a random angle, (count, nq): other starts of the search."""
    model = replay.model
    offset = np.zeros((count, 2 * model.nv))
    columns = hinges(model)
    offset[:, columns] = rng.uniform(-np.pi, np.pi, (count, len(columns)))
    default = np.tile(model.qpos0, (count, 1))
    return moved(model, default, np.zeros((count, model.nv)), offset)[0]


def hinges(model: mujoco.MjModel) -> IntArray:
    """The degrees of freedom of hinges."""
    found: IntArray = model.jnt_dofadr[model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE]
    return found


def with_differences(
    replay: Replay, before: States, states: States, after: States, seconds: Array
) -> States:
    """The states with velocities that no sensor shows from the positions around them.

    `seconds` (m,) lie between the rows `before` and `after`.
    """
    nv = replay.model.nv
    moved_by = differences(replay.model, before.qpos, after.qpos)
    columns = hinges(replay.model)  # a sine and a cosine show an angle but for whole turns
    moved_by[:, columns] = np.mod(moved_by[:, columns] + np.pi, 2 * np.pi) - np.pi
    rates = moved_by / seconds[:, None]
    qvel = np.where(states.seen[nv:], states.qvel, rates)
    return States(states.qpos, qvel, states.seen)


def linearized(
    replay: Replay, qpos: Array, qvel: Array, memory: Mapping[str, Array], probe: float = PROBE
) -> tuple[Array, Array]:
    """Readings (m, k) and their slopes (m, k, 2 nv) in the tangent space, between two probes."""
    size = 2 * replay.model.nv
    shown = replay.readings_at(qpos, qvel, memory)
    slopes = np.zeros((*shown.shape, size))
    for column in range(size):
        offset = np.zeros((len(qpos), size))
        ends = []
        for sign in (-1.0, 1.0):
            offset[:, column] = sign * probe
            ends.append(replay.readings_at(*moved(replay.model, qpos, qvel, offset), memory))
        slopes[:, :, column] = (ends[1] - ends[0]) / (2 * probe)
    return shown, slopes


def _gauss_newton(slopes: Array, residuals: Array) -> tuple[Array, BoolArray]:
    """Damped steps (m, 2 nv), and which directions any of the rows shows, (2 nv,)."""
    normal = np.swapaxes(slopes, 1, 2) @ slopes
    size = normal.shape[1]
    largest = np.linalg.eigvalsh(normal)[:, -1]
    damping = np.maximum(DAMPING * largest, 1e-12)[:, None, None] * np.eye(size)
    gradient = np.einsum("mkd,mk->md", slopes, residuals)
    step = np.linalg.solve(normal + damping, gradient[..., None])[..., 0]
    resolution = np.linalg.solve(normal + damping, normal)
    seen = np.median(np.diagonal(resolution, axis1=1, axis2=2), axis=0) > 0.5
    return step, seen
