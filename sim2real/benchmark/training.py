"""Contestants that train PPO end to end, and that evaluate a policy."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from sim2real.benchmark.core import (
    DOMAINS,
    GYMNASIUM_ID,
    OUR_EVALUATION,
    OUR_PPO,
    SB3_EVALUATION,
    SB3_PPO,
    TASK,
    BenchmarkConfig,
    Contestants,
    Measure,
    gymnasium_vec_env,
)
from sim2real.simulation.front_ends.vec_env import make_vec_env


def ppo(config: BenchmarkConfig) -> Contestants:
    """PPO end to end with the same hyperparameters and the same size of rollout."""
    return {OUR_PPO: _our_ppo(config), SB3_PPO: _sb3_ppo(config)}


@contextlib.contextmanager
def _our_ppo(config: BenchmarkConfig) -> Iterator[Measure]:
    """`pretrain` as a user calls it: randomization, statistics, logging and checkpoint included."""
    from sim2real.learning.pretrain import pretrain

    def measure() -> tuple[int, float]:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            pretrain(
                TASK,
                "randomized",
                steps=config.ppo_steps,
                num_envs=config.num_envs,
                seed=config.seed,
                out=Path(folder) / "run",
                progress=False,
            )
            return config.ppo_steps, time.perf_counter() - start

    yield measure


@contextlib.contextmanager
def _sb3_ppo(config: BenchmarkConfig) -> Iterator[Measure]:
    """Stable-Baselines3's PPO on SubprocVecEnv; only `learn` is timed, not the start of workers."""
    env = gymnasium_vec_env(config, "subproc")

    def measure() -> tuple[int, float]:
        algorithm = same_ppo(config, env)
        start = time.perf_counter()
        algorithm.learn(config.ppo_steps)
        return algorithm.num_timesteps, time.perf_counter() - start

    yield measure
    env.close()


def same_ppo(config: BenchmarkConfig, env: Any) -> Any:
    """SB3's PPO with the hyperparameters of our recipe, on `env`.

    The rollout keeps its number of transitions: fewer environments take more steps each.
    """
    from sim2real.policies.recipe import PPORecipe, build_algorithm, load_recipe

    recipe = load_recipe("ppo", TASK)
    assert isinstance(recipe, PPORecipe)
    steps = max(recipe.n_steps * config.num_envs // env.num_envs, 2)
    same = recipe.model_copy(update={"n_steps": steps, "normalize_observations": False})
    return build_algorithm(same, env, config.seed)


def evaluation(config: BenchmarkConfig) -> Contestants:
    """Episodes of one policy: ours in five domains, SB3's `evaluate_policy` in one environment."""
    policy = _policy(config)
    return {
        OUR_EVALUATION: _our_evaluation(config, policy),
        SB3_EVALUATION: _sb3_evaluation(config, policy),
    }


def _policy(config: BenchmarkConfig) -> Any:
    if config.policy is not None:
        from sim2real.runs.load import load_run

        return load_run(config.policy).policy
    env = make_vec_env(TASK, num_envs=config.num_envs)
    return same_ppo(config, env).policy


@contextlib.contextmanager
def _our_evaluation(config: BenchmarkConfig, policy: Any) -> Iterator[Measure]:
    from sim2real.evaluation.rollout import evaluate

    def measure() -> tuple[int, float]:
        start = time.perf_counter()
        rows = evaluate(policy, TASK, DOMAINS, episodes=config.episodes, seed=config.seed)
        return sum(row.length for row in rows), time.perf_counter() - start

    yield measure


@contextlib.contextmanager
def _sb3_evaluation(config: BenchmarkConfig, policy: Any) -> Iterator[Measure]:
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    env = Monitor(gymnasium.make(GYMNASIUM_ID))
    env.reset(seed=config.seed)

    def measure() -> tuple[int, float]:
        episodes = max(config.episodes // len(DOMAINS), 1)
        start = time.perf_counter()
        _, lengths = evaluate_policy(
            policy, env, n_eval_episodes=episodes, return_episode_rewards=True
        )
        return int(np.sum(lengths)), time.perf_counter() - start

    yield measure
    env.close()
