from __future__ import annotations

import gymnasium as gym
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from sim2real.errors import UserError
from sim2real.policies.anatomy import named_tensors
from sim2real.policies.build import build_algorithm
from sim2real.policies.kl_adaptive import HIGHEST, LOWEST, KLAdaptivePPO, adapted
from sim2real.policies.recipe import parse_recipe


def test_the_learning_rate_stays_within_its_bounds() -> None:
    assert adapted(LOWEST * 1.1, 1.0) == LOWEST
    assert adapted(HIGHEST * 0.9, 1e-3) == HIGHEST


@pytest.mark.parametrize(
    ("options", "rate"),
    [
        ({"n_epochs": 200, "clip_range": 10.0}, 1e-3 / 1.5),  # too large an update
        ({"n_epochs": 1, "clip_range": 1e-9}, 1.5e-3),  # too small a one
    ],
)
def test_it_follows_the_divergence_of_the_last_update(
    options: dict[str, float], rate: float
) -> None:
    common = {"num_envs": 2, "n_steps": 64, "batch_size": 32, "target_kl": None}
    schedule = {"lr_schedule": "kl", "learning_rate": 1e-3}
    recipe = parse_recipe("ppo", {**common, **schedule, **options})
    env = DummyVecEnv([lambda: gym.make("Pendulum-v1")] * 2)
    algorithm = build_algorithm(recipe, env, seed=0)
    assert isinstance(algorithm, KLAdaptivePPO)
    algorithm.learn(128)
    assert algorithm.policy.optimizer.param_groups[0]["lr"] == pytest.approx(rate)


def test_the_warm_up_of_a_critic_leaves_it() -> None:
    recipe = parse_recipe("ppo", {"num_envs": 1, "n_steps": 64, "lr_schedule": "kl"})
    env = DummyVecEnv([lambda: gym.make("Pendulum-v1")])
    algorithm = build_algorithm(recipe, env, seed=0)
    tensors = named_tensors(algorithm.policy)
    critic = [name for name in tensors if "value" in name]
    for name, parameter in algorithm.policy.named_parameters():
        parameter.requires_grad_(name in critic)
    algorithm.learn(128)
    assert algorithm.policy.optimizer.param_groups[0]["lr"] == recipe.learning_rate


def test_other_algorithms_have_no_such_schedule() -> None:
    with pytest.raises(UserError, match=r"lr_schedule.*'constant' or 'linear'"):
        parse_recipe("sac", {"lr_schedule": "kl"})
