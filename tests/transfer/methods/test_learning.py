"""Every method that learns from rewards finds the optimum of a toy whose actions are reversed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless

from sim2real.policies import ALGORITHMS
from sim2real.policies.build import build_algorithm
from sim2real.policies.normalizer import update_normalizers
from sim2real.policies.recipe import AnyRecipe, load_recipe
from sim2real.transfer.budget import Budget
from sim2real.transfer.find import find_method, load_method
from sim2real.transfer.gaussians import actor_gaussian
from sim2real.transfer.method import LearnerMethod
from sim2real.transfer.methods import METHODS
from sim2real.transfer.mixed import MixedMethod

RECIPES: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": 8, "n_steps": 32, "batch_size": 64, "n_epochs": 8},
    "sac": {"num_envs": 8, "batch_size": 64, "gradient_steps": 8},
    "td3": {"num_envs": 8, "batch_size": 64, "gradient_steps": 8},
}
LEARNING: dict[str, Any] = {"gamma": 0.0, "learning_rate": 5e-3, "net_arch": [16, 16]}
STEPS = {"ppo": 6_000, "sac": 3_000, "td3": 3_000}
OPTIONS: dict[str, dict[str, Any]] = {
    "adapter": {"rank": 1, "alpha": 2.0},
    "features-input": {"learn": "input"},
}
NO_REWARD = ("distill",)
FAST = ("adapter", "residual", "features-input")
CASES = [
    slow_unless(algorithm == "ppo" and name in FAST, name, algorithm)
    for name in (*METHODS, "features-input")
    for algorithm in ALGORITHMS
    if issubclass(kind := find_method(name.partition("-")[0]), LearnerMethod)
    and not issubclass(kind, MixedMethod)  # see test_mixed.py
    and name not in NO_REWARD
]
X = np.linspace(-0.9, 0.9, 19)
SEEN = np.stack([X, 3.0 * X + 5.0], axis=1)


def return_of(policy: Any, sign: float) -> float:
    """The mean return of an episode of ten steps, where `sign` * x is the best action."""
    actions = policy.predict(SEEN, deterministic=True)[0][:, 0]
    return float(10.0 * (1.0 - np.mean((actions - sign * X) ** 2)))


def taught(recipe: AnyRecipe, env: Any) -> Any:
    """A policy whose action is the number x that it sees."""
    policy: Any = build_algorithm(recipe, env, 0).policy
    seen, wanted = torch.as_tensor(SEEN), torch.as_tensor(X, dtype=torch.float32)
    update_normalizers(policy, seen)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
    for _ in range(300):
        mean = actor_gaussian(policy, seen).mean[:, 0]
        loss = (mean - (wanted.atanh() if recipe.algorithm == "sac" else wanted)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy


@pytest.mark.parametrize(("name", "algorithm"), CASES)
def test_reversed_actions_are_learned(name: str, algorithm: str, toy: Any) -> None:
    class Reversed(toy.ToyVecEnv):  # type: ignore[misc, name-defined]
        def step_async(self, actions: np.ndarray) -> None:
            super().step_async(-actions)

    recipe = load_recipe(algorithm, None, {**RECIPES[algorithm], **LEARNING})
    policy = taught(recipe, toy.ToyVecEnv(8))
    assert return_of(policy, 1.0) > 9.9
    assert return_of(policy, -1.0) < 0.0
    source: Any = SimpleNamespace(policy=policy, checkpoint=SimpleNamespace(training={}, state={}))
    method = load_method(
        name.partition("-")[0], {"recipe": RECIPES[algorithm], **OPTIONS.get(name, {})}
    )
    assert isinstance(method, LearnerMethod)
    budget = Budget(STEPS[algorithm])
    target_recipe = method.target_recipe(recipe, budget)
    prepared = method.prepare(source, target_recipe, Reversed(8), budget, 0)
    prepared.algorithm.learn(budget.steps, callback=list(prepared.callbacks))
    assert return_of(prepared.algorithm.policy, -1.0) > 9.7
