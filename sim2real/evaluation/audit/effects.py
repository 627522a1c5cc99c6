"""The difference between a probe and the nominal one, compared with numerical noise.

The noise is that of a twin of the nominal world which starts a rounding error beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim2real.evaluation.audit.motions import Motion
from sim2real.evaluation.audit.states import Forces
from sim2real.task import Array, BoolArray

FLOOR = 1e-14
"""Relative differences below this are rounding, also where the twin differs less."""
CLEAR = 10.0
"""Multiples of numerical noise from which on a difference is one."""


@dataclass(frozen=True)
class Effect:
    """The difference between a probe and the nominal one: relative to its size, and in multiples of
    numerical noise."""

    change: float
    times_noise: float


def times_noise(effects: Mapping[str, Effect]) -> float:
    """The clearest of some effects, in multiples of numerical noise; 0 without any."""
    return max((effect.times_noise for effect in effects.values()), default=0.0)


def is_clear(effects: Mapping[str, Effect]) -> bool:
    """Whether any of them is more than noise."""
    return times_noise(effects) > CLEAR


def state_effects(nominal: Forces, twin: Forces, changed: Forces) -> dict[str, Effect]:
    """Largest relative change of accelerations and of actuator forces over the states."""
    return {
        "acceleration": of_states(nominal.acceleration, twin.acceleration, changed.acceleration),
        "force": of_states(nominal.force, twin.force, changed.force),
    }


def of_states(nominal: Array, twin: Array, changed: Array) -> Effect:
    """Largest relative change over the states, of rows (s, k)."""
    size = np.linalg.norm(nominal, axis=1)
    size = np.maximum(size, 1e-3 * np.median(size) + 1e-12)
    change = np.linalg.norm(changed - nominal, axis=1) / size
    noise = np.linalg.norm(twin - nominal, axis=1) / size
    return Effect(float(change.max()), float((change / np.maximum(noise, FLOOR)).max()))


def motion_effects(nominal: Motion, twin: Motion, changed: Motion) -> dict[str, Effect]:
    """Changes of the settled pose, the trajectory, the forces, the observation and the reward.

    Compared are the control steps that were sound in both.
    """
    sound = nominal.sound & changed.sound
    moved = nominal.qpos - nominal.qpos[0]
    three = (nominal, twin, changed)
    poses = [one.qpos for one in three]
    forces = [one.force for one in three]
    observations = [one.observation for one in three]
    rewards = [one.reward[..., None] for one in three]
    with np.errstate(over="ignore", invalid="ignore"):  # explosions are reported elsewhere
        effects = {
            "trajectory": _of_motion(sound, poses, moved),
            "force": _of_motion(sound, forces, nominal.force),
            "observation": _of_motion(sound, observations, nominal.observation),
            "reward": _of_motion(sound, rewards, rewards[0]),
        }
    effects["settled pose"] = _settled(nominal, changed, effects["trajectory"].times_noise)
    return effects


def _of_motion(sound: BoolArray, values: Sequence[Array], scale: Array) -> Effect:
    """From `values` of the nominal world, its twin and the changed one.

    Root mean square difference, each quantity against the root mean square of its `scale`.

    The noise k steps after the first difference is what the twin has k steps after its start.
    """
    nominal, twin, changed = values
    size = np.sqrt(np.mean(np.square(scale), axis=(0, 1)))
    size = np.maximum(size, 1e-3 * size.max(initial=0.0) + 1e-9)
    difference = np.where(sound, _norms((changed - nominal) / size), 0.0)
    noise = np.maximum.accumulate(_norms((twin - nominal) / size), axis=0)
    times = 0.0
    for world in range(difference.shape[1]):
        onsets = np.flatnonzero(difference[:, world])
        if len(onsets):
            tail = difference[onsets[0] :, world]
            times = max(times, float(np.max(tail / np.maximum(noise[: len(tail), world], FLOOR))))
    return Effect(float(np.sqrt(np.mean(np.square(difference)))), times)


def _norms(values: Array) -> Array:
    """Root mean square over the last axis."""
    norms: Array = np.sqrt(np.mean(np.square(values), axis=-1))
    return norms


def _settled(nominal: Motion, changed: Motion, times_noise: float) -> Effect:
    """The pose that the world without commands comes to, against how far it went."""
    if not (nominal.sound[-1, 0] and changed.sound[-1, 0]):
        return Effect(0.0, 0.0)
    path = np.linalg.norm(nominal.qpos[:, 0] - nominal.qpos[0, 0], axis=1)
    moved = np.linalg.norm(changed.qpos[-1, 0] - nominal.qpos[-1, 0])
    change = float(moved / max(float(path.max()), 1e-6))
    return Effect(change, times_noise if change else 0.0)
