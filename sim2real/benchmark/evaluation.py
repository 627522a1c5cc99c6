"""Contestants that evaluate a policy."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from sim2real.benchmark.core import (
    DOMAINS,
    GYMNASIUM_ID,
    OUR_EVALUATION,
    SB3_EVALUATION,
    TASK,
    BenchmarkConfig,
    Contestants,
    Measure,
)
from sim2real.benchmark.training import same_ppo
from sim2real.simulation.front_ends.vec_env import make_vec_env


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
