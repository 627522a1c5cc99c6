"""The bandit's path, and a training of a few thousand steps on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy

from sim2real.learning.adaptive import AdaptiveRandomization
from sim2real.simulation.front_ends.vec_env import make_vec_env

BANDIT = str(Path(__file__).with_name("bandit.py"))

Train = Callable[..., PPO]


class Indifferent(ActorCriticPolicy):
    """All states are worth the same: SB3 asks of each that ends a bandit's episode, one by one."""

    def predict_values(self, obs: Any) -> torch.Tensor:
        return torch.zeros(len(obs), 1)


@pytest.fixture
def bandit() -> str:
    return BANDIT


@pytest.fixture
def train() -> Train:
    def train_(
        callback: AdaptiveRandomization,
        steps: int,
        domain: Any = "randomized",
        seed: int = 0,
        env: Any = None,
    ) -> PPO:
        env = env or make_vec_env(BANDIT, domain, num_envs=64, seed=seed, threads=1)
        model = PPO(Indifferent, env, n_steps=4, batch_size=256, n_epochs=1, seed=seed)
        return model.learn(steps, callback=callback)

    return train_
