"""Contestants that step environments at random actions."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any, Literal

import gymnasium
import numpy as np

from sim2real.benchmark.core import (
    BARE,
    GYMNASIUM_ID,
    OURS,
    TASK,
    BenchmarkConfig,
    Contestants,
    Measure,
    bare_batch,
    cores,
    gymnasium_vec_env,
    timed,
)
from sim2real.registry import load_task
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import Array, BoolArray, IntArray


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
    """Hoppers that are put back on their feet as their task does it, unless `restart` is False."""
    rng = np.random.default_rng(config.seed)

    def fallen(qpos: Array) -> BoolArray:
        down: BoolArray = (qpos[:, 1] <= 0.7) | (np.abs(qpos[:, 2]) >= 0.2)
        return down & restart

    def start(qpos: Array, qvel: Array, ids: IntArray) -> None:
        qpos[ids] += rng.uniform(-0.005, 0.005, (len(ids), qpos.shape[1]))
        qvel[ids] += rng.uniform(-0.005, 0.005, (len(ids), qvel.shape[1]))

    yield bare_batch(config, load_task(TASK), config.num_envs, lambda a: a, fallen, start)


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
