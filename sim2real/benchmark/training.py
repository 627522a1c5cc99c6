"""Contestants that train PPO end to end, make gradient steps of SAC, and evaluate a policy."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sim2real.benchmark.core import (
    DOMAINS,
    GYMNASIUM_ID,
    OUR_EVALUATION,
    OUR_PPO,
    OUR_SAC,
    SB3_EVALUATION,
    SB3_PPO,
    SB3_SAC,
    TASK,
    BenchmarkConfig,
    Contestants,
    Measure,
    gymnasium_vec_env,
)
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import AnyRecipe, PPORecipe, load_recipe
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.torch_settings import one_thread


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
    """Stable-Baselines3's PPO on SubprocVecEnv; only `learn` is timed, not the start of workers.

    The rollout keeps its number of transitions: fewer environments take more steps each.
    """
    recipe = load_recipe("ppo", TASK)
    assert isinstance(recipe, PPORecipe)
    env = gymnasium_vec_env(config, "subproc")
    steps = max(recipe.n_steps * config.num_envs // env.num_envs, 2)
    batch_size = min(recipe.batch_size, steps * env.num_envs)
    same = recipe.model_copy(update={"n_steps": steps, "batch_size": batch_size})

    def measure() -> tuple[int, float]:
        algorithm = plain(same, env, config.seed)
        with one_thread():  # as ours; two are slower
            start = time.perf_counter()
            algorithm.learn(config.ppo_steps)
            return algorithm.num_timesteps, time.perf_counter() - start

    yield measure
    env.close()


def plain(recipe: AnyRecipe, env: VecEnv, seed: int) -> BaseAlgorithm:
    """Stable-Baselines3's algorithm with the hyperparameters of a recipe, and nothing of ours."""
    options = recipe.algorithm_options(env.action_space)  # type: ignore[arg-type]
    networks = options.pop("policy_kwargs")
    kept = ("net_arch", "activation_fn", "log_std_init")
    networks = {name: networks[name] for name in kept if name in networks}
    make: Any = {"ppo": PPO, "sac": SAC}[recipe.algorithm]
    algorithm: BaseAlgorithm = make("MlpPolicy", env, policy_kwargs=networks, seed=seed, **options)
    return algorithm


def sac(config: BenchmarkConfig) -> Contestants:
    """Gradient steps of SAC with the same hyperparameters, on the same transitions."""
    return {OUR_SAC: _gradients(config, build_algorithm), SB3_SAC: _gradients(config, plain)}


@contextlib.contextmanager
def _gradients(config: BenchmarkConfig, build: Callable[..., BaseAlgorithm]) -> Iterator[Measure]:
    """Gradient steps from a buffer of random actions."""
    recipe = load_recipe("sac", TASK, {"learning_starts": 512})
    env = make_vec_env(TASK, num_envs=recipe.num_envs, seed=config.seed)
    algorithm: Any = build(recipe, env, config.seed)
    algorithm.learn(512)

    def measure() -> tuple[int, float]:
        count, start = 0, time.perf_counter()
        with one_thread():
            while (elapsed := time.perf_counter() - start) < config.seconds / config.slices:
                algorithm.train(gradient_steps=1, batch_size=recipe.batch_size)
                count += 1
        return count, elapsed

    yield measure
    env.close()


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
    recipe = load_recipe("ppo", TASK, {"normalize_observations": False})
    return build_algorithm(recipe, make_vec_env(TASK, num_envs=2), config.seed).policy


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
