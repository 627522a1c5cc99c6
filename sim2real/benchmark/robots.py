"""Contestants that walk: the quadruped's physics alone, and our VecEnv in its randomized domain."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from sim2real.benchmark.core import BenchmarkConfig, Contestants, Measure, bare_batch, timed
from sim2real.envs.quadruped import ACTION_SCALE, BELLY, POSE, START_HEIGHT
from sim2real.registry import load_task
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import Array, BoolArray, IntArray

WORLDS = 256
"""As many as its recipe trains with."""
SPREAD = 0.5
"""Of the actions, uniform within ± this: as wide as those that a training begins with."""
BARE_QUADRUPED, OUR_QUADRUPED = "quadruped, bare batch loop", "quadruped, our VecEnv"


def robots(config: BenchmarkConfig) -> Contestants:
    """The quadruped at random actions, which make it tremble."""
    return {OUR_QUADRUPED: _ours(config), BARE_QUADRUPED: _bare(config)}


@contextlib.contextmanager
def _ours(config: BenchmarkConfig) -> Iterator[Measure]:
    env = make_vec_env("quadruped", "randomized", num_envs=WORLDS, seed=config.seed)
    env.reset()
    yield timed(lambda action: env.step(SPREAD * action), WORLDS, len(POSE), config)
    env.close()


@contextlib.contextmanager
def _bare(config: BenchmarkConfig) -> Iterator[Measure]:
    """Who lies on the ground or on its back is put on its feet."""
    standing = np.concatenate([[0, 0, START_HEIGHT, 1, 0, 0, 0], POSE])

    def control(action: Array) -> Array:
        return POSE + ACTION_SCALE * SPREAD * action

    def fallen(qpos: Array) -> BoolArray:
        _, x, y, _ = qpos[:, 3:7].T
        down: BoolArray = (qpos[:, 2] < BELLY) | (x * x + y * y > 0.25)
        return down

    def start(qpos: Array, qvel: Array, ids: IntArray) -> None:
        qpos[ids] = standing

    yield bare_batch(config, load_task("quadruped"), WORLDS, control, fallen, start)
