"""Contestants that walk: the quadruped's physics alone, and our VecEnv in its randomized domain."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import mujoco.batch
import numpy as np

from sim2real.benchmark.core import BenchmarkConfig, Contestants, Measure, cores, timed
from sim2real.envs.quadruped import ACTION_SCALE, BELLY, POSE, START_HEIGHT
from sim2real.registry import load_task
from sim2real.simulation.vec_env import make_vec_env

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
    """Controls in, five substeps; who lies on the ground or on its back is put on its feet."""
    task = load_task("quadruped")
    model = task.compile()
    substeps = round(task.control_dt / model.opt.timestep)
    batch = mujoco.batch.Batch(model, WORLDS, cores())
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    standing = np.concatenate([[0, 0, START_HEIGHT, 1, 0, 0, 0], POSE])
    qpos[:] = standing

    def step(action: Any) -> None:
        ctrl[:] = POSE + ACTION_SCALE * SPREAD * action
        batch.step(nstep=substeps)
        _, x, y, _ = qpos[:, 3:7].T
        fallen = np.flatnonzero((qpos[:, 2] < BELLY) | (x * x + y * y > 0.25))
        if len(fallen):
            qpos[fallen], qvel[fallen] = standing, 0.0

    yield timed(step, WORLDS, len(POSE), config)
