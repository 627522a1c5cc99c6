from __future__ import annotations

import gymnasium as gym
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from sim2real.errors import UserError
from sim2real.policies.kl_adaptive import HIGHEST, LOWEST, KLAdaptivePPO, adapted
from sim2real.policies.recipe import build_algorithm, parse_recipe


def test_the_learning_rate_stays_within_its_bounds() -> None:
    assert adapted(LOWEST * 1.1, 1.0) == LOWEST
    assert adapted(HIGHEST * 0.9, 0.0) == HIGHEST


@pytest.mark.parametrize(("clip_range", "rate"), [(1e-9, 1e-3 / 1.5), (0.2, 1.5e-3)])
def test_it_follows_the_divergence_of_the_last_update(clip_range: float, rate: float) -> None:
    """Updates that are too small make it larger, those that are too large make it smaller."""
    large = clip_range < 0.1  # nothing of the surrogate is clipped at the first epoch
    options = {"num_envs": 2, "n_steps": 64, "batch_size": 32, "lr_schedule": "kl"}
    options |= {"learning_rate": 1e-3, "n_epochs": 200 if large else 1, "target_kl": None}
    recipe = parse_recipe("ppo", options | {"clip_range": 10.0 if large else clip_range})
    env = DummyVecEnv([lambda: gym.make("Pendulum-v1")] * 2)
    algorithm = build_algorithm(recipe, env, seed=0)
    assert isinstance(algorithm, KLAdaptivePPO)
    algorithm.learn(128)
    assert algorithm.policy.optimizer.param_groups[0]["lr"] == pytest.approx(rate)


def test_other_algorithms_have_no_such_schedule() -> None:
    with pytest.raises(UserError, match=r"lr_schedule.*'constant' or 'linear'"):
        parse_recipe("sac", {"lr_schedule": "kl"})
