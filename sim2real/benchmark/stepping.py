"""Contestants that step environments at random actions."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any, Literal

import gymnasium
import mujoco
import mujoco.batch
import numpy as np

from sim2real.benchmark.core import (
    BARE,
    GYMNASIUM_ID,
    OURS,
    TASK,
    BenchmarkConfig,
    Contestants,
    Measure,
    cores,
    gymnasium_vec_env,
    timed,
)
from sim2real.registry import load_task
from sim2real.simulation.vec_env import make_vec_env


def stepping(config: BenchmarkConfig) -> Contestants:
    """Contestants that step environments at random actions."""
    found = {
        OURS: _ours(config),
        BARE: _bare(config),
        "bare batch, never reset": _bare(config, restart=False),
        "DummyVecEnv": _sb3(config, "dummy"),
        "SubprocVecEnv": _sb3(config, "subproc"),
        "AsyncVectorEnv": _async(config),
    }
    return found | ({"EnvPool": _envpool(config)} if importlib.util.find_spec("envpool") else {})


@contextlib.contextmanager
def _ours(config: BenchmarkConfig) -> Iterator[Measure]:
    env = make_vec_env(TASK, "randomized", num_envs=config.num_envs, seed=config.seed)
    env.reset()
    yield timed(env.step, config.num_envs, 3, config)
    env.close()


@contextlib.contextmanager
def _bare(config: BenchmarkConfig, restart: bool = True) -> Iterator[Measure]:
    """The physics alone: controls in, four substeps; no observation, reward or randomization.

    Fallen hoppers are put back on their feet in the cheapest way (unless `restart` is False), so
    that the contacts to be solved are those that the other contestants have: a batch that is never
    reset ends as a heap of lying hoppers, which is another model's worth of contacts.
    """
    task = load_task(TASK)
    model = task.compile()
    substeps = round(task.control_dt / model.opt.timestep)
    batch = mujoco.batch.Batch(model, config.num_envs, cores())
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    rng = np.random.default_rng(config.seed)

    def step(action: Any) -> None:
        ctrl[:] = action
        batch.step(nstep=substeps)
        if not restart:
            return
        fallen = np.flatnonzero((qpos[:, 1] <= 0.7) | (np.abs(qpos[:, 2]) >= 0.2))
        if len(fallen):
            batch.reset(fallen, stage=mujoco.mjtStage.mjSTAGE_NONE)
            qpos[fallen] += rng.uniform(-0.005, 0.005, (len(fallen), model.nq))
            qvel[fallen] += rng.uniform(-0.005, 0.005, (len(fallen), model.nv))

    yield timed(step, config.num_envs, model.nu, config)


@contextlib.contextmanager
def _sb3(config: BenchmarkConfig, kind: Literal["dummy", "subproc"]) -> Iterator[Measure]:
    env = gymnasium_vec_env(config, kind)
    env.reset()
    yield timed(env.step, config.processes, 3, config)
    env.close()


@contextlib.contextmanager
def _async(config: BenchmarkConfig) -> Iterator[Measure]:
    env = gymnasium.make_vec(GYMNASIUM_ID, config.processes, vectorization_mode="async")
    env.reset(seed=config.seed)
    yield timed(env.step, config.processes, 3, config)
    env.close()


@contextlib.contextmanager
def _envpool(config: BenchmarkConfig) -> Iterator[Measure]:
    envpool: Any = importlib.import_module("envpool")
    env = envpool.make(
        GYMNASIUM_ID,
        env_type="gymnasium",
        num_envs=config.num_envs,
        num_threads=cores(),
        seed=config.seed,
    )
    env.reset()
    yield timed(env.step, config.num_envs, 3, config)
    env.close()
