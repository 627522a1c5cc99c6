"""Contestants that step environments at random actions: hoppers, randomized tasks, a quadruped."""

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
from sim2real.domains import Domain, load_domain
from sim2real.domains.entries.engine import Warp
from sim2real.envs.quadruped import ACTION_SCALE, BELLY, POSE, START_HEIGHT
from sim2real.registry import load_task
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import Array, BoolArray, IntArray


def stepping(config: BenchmarkConfig) -> Contestants:
    """Contestants that step environments at random actions."""
    found = {
        OURS: _ours(config, TASK, "randomized", config.num_envs),
        BARE: _bare(config),
        "bare batch, never reset": _bare(config, restart=False),
        "DummyVecEnv": _sb3(config, "dummy"),
        "SubprocVecEnv": _sb3(config, "subproc"),
        "AsyncVectorEnv": _async(config),
    }
    return found | ({"EnvPool": _envpool(config)} if importlib.util.find_spec("envpool") else {})


@contextlib.contextmanager
def _ours(
    config: BenchmarkConfig, task: str, domain: str | Domain, num_envs: int, spread: float = 1.0
) -> Iterator[Measure]:
    """Our VecEnv at actions within ± `spread`."""
    env = make_vec_env(load_task(task), domain, num_envs, config.seed)
    env.reset()
    size = env.simulation.model.nu
    yield timed(lambda action: env.step(spread * action), num_envs, size, config)
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


def in_warp(domain: Domain, device: str) -> Domain:
    """The `domain` in MuJoCo Warp on a `device`."""
    engine = Warp(name="warp", device=device)
    return domain.model_copy(update={"name": f"warp:{domain.name}", "engine": engine})


def warp(config: BenchmarkConfig) -> Contestants:
    """Our VecEnv on randomized hoppers in MuJoCo and in MuJoCo Warp."""
    here = load_domain(TASK, "randomized")
    domains = {"MuJoCo": here, "MuJoCo Warp": in_warp(here, config.device)}
    return {
        f"hopper in {engine}, {worlds:,} worlds": _ours(config, TASK, domain, worlds)
        for worlds in config.warp_worlds
        for engine, domain in domains.items()
    }


WORLDS = 256
"""Worlds, as many as its recipe trains with."""
SPREAD = 0.5
"""Actions are uniform within ± this, as at the beginning of a training."""
BARE_QUADRUPED, OUR_QUADRUPED = "quadruped, bare batch loop", "quadruped, our VecEnv"


def robots(config: BenchmarkConfig) -> Contestants:
    """The quadruped at random actions, which make it tremble."""
    ours = _ours(config, "quadruped", "randomized", WORLDS, SPREAD)
    return {OUR_QUADRUPED: ours, BARE_QUADRUPED: _bare_quadruped(config)}


@contextlib.contextmanager
def _bare_quadruped(config: BenchmarkConfig) -> Iterator[Measure]:
    """A robot that lies on the ground or on its back is put on its feet."""
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


TASKS = {"hopper": ("floor", "foot_geom"), "ant": ("floor", "*_geom")}
"""The tasks that are measured, and the geoms whose friction counts."""


def nominal_name(task: str) -> str:
    """The name of the contestant without randomization."""
    return f"{task} nominal"


def randomized_name(task: str) -> str:
    """The name of the contestant with twenty parameters."""
    return f"{task} with 20 parameters"


def randomization(config: BenchmarkConfig) -> Contestants:
    """Each task as it is, and in a domain of twenty parameters with delays and noise."""
    contestants: dict[str, contextlib.AbstractContextManager[Measure]] = {}
    for task in TASKS:
        for name, domain in (
            (nominal_name(task), Domain(name="nominal")),
            (randomized_name(task), twenty_parameters(task)),
        ):
            contestants[name] = _ours(config, task, domain, config.num_envs)
    return contestants


def twenty_parameters(task: str) -> Domain:
    """At least twenty numbers an episode: masses, friction, joints, motors, delays, noise."""
    factor = {"uniform": [0.8, 1.2]}
    return Domain.model_validate(
        {
            "name": "twenty",
            "dynamics": [
                {"field": "body_mass", "scale": factor},
                {
                    "field": "geom_friction",
                    "of": list(TASKS[task]),
                    "component": "sliding",
                    "scale": {"log_uniform": [0.5, 2.0]},
                    "shared": True,
                },
                {"field": "dof_damping", "scale": factor},
                {"field": "dof_armature", "scale": factor},
                {"field": "opt.gravity", "component": "z", "scale": {"uniform": [0.95, 1.05]}},
            ],
            "actuation": [{"delay": {"uniform": [0.0, 0.02]}}, {"strength": factor}],
            "sensing": [
                {"noise": {"normal": [0.0, 0.01]}, "of": "position"},
                {"noise": {"normal": [0.0, 0.05]}, "of": "velocity"},
            ],
        }
    )
