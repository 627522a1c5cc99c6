"""The discount of PPO rises over the first half of a training."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from sim2real.errors import UserError
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe, parse_recipe

RISING = {"num_envs": 1, "n_steps": 64, "batch_size": 32, "initial_gamma": 0.9, "gamma": 0.99}


class Advantages(BaseCallback):
    """The discount of each rollout, as its own advantages show it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer
        inside = buffer.episode_starts[1:, 0] == 0.0
        trace = self.model.gae_lambda * buffer.advantages[1:, 0]
        ahead = (buffer.values[1:, 0] + trace)[inside]
        gained = (buffer.advantages[:-1, 0] + buffer.values[:-1, 0] - buffer.rewards[:-1, 0])[
            inside
        ]
        self.found.append(float(np.median(gained / ahead)))


def test_the_advantages_of_each_rollout_have_its_discount() -> None:
    env = DummyVecEnv([lambda: gym.make("Pendulum-v1")])
    algorithm = build_algorithm(parse_recipe("ppo", RISING), env, seed=0)
    advantages = Advantages()
    algorithm.learn(64 * 8, callback=advantages)
    horizons = [10.0, 32.5, 55.0, 77.5, *[100.0] * 4]
    expected = [1.0 - 1.0 / one for one in horizons]
    assert advantages.found == pytest.approx(expected, rel=1e-4)


def test_without_an_initial_one_the_discount_is_constant() -> None:
    env = DummyVecEnv([lambda: gym.make("Pendulum-v1")])
    algorithm = build_algorithm(parse_recipe("ppo", RISING | {"initial_gamma": None}), env, seed=0)
    advantages = Advantages()
    algorithm.learn(64 * 2, callback=advantages)
    assert advantages.found == pytest.approx([0.99, 0.99], rel=1e-4)


class Course(BaseCallback):
    """The entropy bonus and the largest noise of each rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[float, float]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        model: Any = self.model
        self.found.append((model.ent_coef, model.policy.log_std.max().item()))


def test_entropy_bonus_and_noise_take_their_course() -> None:
    env = DummyVecEnv([lambda: gym.make("Pendulum-v1")])
    options = {
        "initial_ent_coef": 0.4,
        "ent_coef": 0.0,
        "log_std_init": -1.0,
        "final_log_std": -3.0,
    }
    recipe = parse_recipe("ppo", RISING | options)
    algorithm, course = build_algorithm(recipe, env, seed=0), Course()
    algorithm.learn(64 * 4, callback=course)
    bonuses, noises = zip(*course.found, strict=True)
    assert bonuses == pytest.approx((0.4, 0.3, 0.2, 0.1))
    # the policy may want less noise than the limit; a bonus of 0.4 lets it want more
    assert noises == pytest.approx((-1.0, -1.5, -2.0, -2.5))


@pytest.mark.parametrize("options", [{"initial_gamma": 0.995}, {"gamma": 1.0}])
def test_a_discount_that_falls_or_never_ends_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"gamma is from 0\.9\d* to below 1; .*initial_gamma=null"):
        parse_recipe("ppo", RISING | options)


def test_the_hopper_looks_further_ahead_in_the_end() -> None:
    recipe = load_recipe("ppo", "hopper")
    assert recipe.gamma_at(0.0) == pytest.approx(0.99)
    assert recipe.gamma_at(1.0) == pytest.approx(0.995)
