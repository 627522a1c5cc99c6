"""The sizes of the benchmark, and the timing of a contestant."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mujoco.batch
import numpy as np

from sim2real.task import Array, BoolArray, IntArray, Task

Part = Literal["stepping", "randomization", "robots", "ppo", "sac", "evaluation", "warp"]
Measure = Callable[[], tuple[int, float]]  # one slice of a contestant: control steps, seconds
Contestants = Mapping[str, contextlib.AbstractContextManager[Measure]]
TASK, GYMNASIUM_ID = "hopper", "Hopper-v5"
BARE, OURS, SB3_PPO, SB3_EVALUATION = "bare batch loop", "our VecEnv", "SB3 PPO", "SB3 evaluation"
OUR_PPO, OUR_EVALUATION = "our PPO", "our evaluation"
OUR_SAC, SB3_SAC = "our SAC, gradient steps", "SB3 SAC, gradient steps"
DOMAINS = ("nominal", "randomized", "mild", "medium", "hard")


@dataclass(frozen=True)
class BenchmarkConfig:
    """The sizes of the measurements, and the number of rounds."""

    parts: tuple[Part, ...] = ("stepping", "randomization", "robots", "ppo", "sac", "evaluation")
    """Which parts to run; "warp" needs the extra [gpu]."""
    rounds: int = 5
    """Interleaved rounds; the ratios are given as median and range over them."""
    seconds: float = 2.0
    """Time that a contestant of the stepping parts and of SAC has in one round, in s."""
    slices: int = 8
    """Into how many turns that time is cut, so that other load on the machine is shared by all."""
    num_envs: int = 64
    """Worlds of the batched contestants."""
    processes: int = 8
    """Environments of DummyVecEnv, SubprocVecEnv and AsyncVectorEnv."""
    ppo_steps: int = 12_288
    """Control steps of one round of PPO; a multiple of n_steps * num_envs."""
    episodes: int = 100
    """Episodes per domain of one round of our evaluation."""
    warp_worlds: tuple[int, ...] = (64, 256, 1024, 4096, 16384)
    """Numbers of worlds in the part "warp"."""
    device: str = "auto"
    """The device of MuJoCo Warp: "cuda", "cuda:1" or "cpu"; by default the first GPU, if any."""
    policy: Path | None = None
    """A hopper run whose policy is evaluated; by default an untrained one, which falls early."""
    seed: int = 0
    """Seed of actions, simulations and policies."""


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def timed(
    step: Callable[[Any], object], num_envs: int, size: int, config: BenchmarkConfig
) -> Measure:
    """Call `step` for one slice of the contestant's time, after a warm-up."""
    rng = np.random.default_rng(config.seed)
    actions = rng.uniform(-1.0, 1.0, (256, num_envs, size)).astype(np.float32)

    def measure() -> tuple[int, float]:
        for action in actions[:4]:
            step(action)
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < config.seconds / config.slices:
            step(actions[count % len(actions)])
            count += 1
        return count * num_envs, elapsed

    return measure


def bare_batch(
    config: BenchmarkConfig,
    task: Task,
    num_envs: int,
    control: Callable[[Any], Any],
    fallen: Callable[[Array], BoolArray],
    start: Callable[[Array, Array, IntArray], object],
) -> Measure:
    """The physics alone: controls in, substeps; no observation, reward or randomization.

    Controls are `control(action)`. Worlds that are `fallen(qpos)` are put into the default state,
    and `start(qpos, qvel, ids)` puts them on their feet, so that there are as many contacts as in
    the other contestants: in a batch that is never reset all robots end on the ground, with more
    contacts each.
    """
    model = task.compile()
    substeps = round(task.control_dt / model.opt.timestep)
    batch = mujoco.batch.Batch(model, num_envs, cores())
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    start(qpos, qvel, np.arange(num_envs))

    def step(action: Any) -> None:
        ctrl[:] = control(action)
        batch.step(nstep=substeps)
        ids = np.flatnonzero(fallen(qpos))
        if len(ids):
            batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
            start(qpos, qvel, ids)

    return timed(step, num_envs, model.nu, config)


def gymnasium_vec_env(config: BenchmarkConfig, kind: Literal["dummy", "subproc"]) -> Any:
    """Gymnasium's own environments in one of SB3's VecEnvs."""
    from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    vec_env_class = DummyVecEnv if kind == "dummy" else SubprocVecEnv
    return sb3_make_vec_env(
        GYMNASIUM_ID, config.processes, seed=config.seed, vec_env_cls=vec_env_class
    )
