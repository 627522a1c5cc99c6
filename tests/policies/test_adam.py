from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sim2real.policies import ALGORITHMS
from sim2real.policies.adam import Adam
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.simulation.front_ends.vec_env import make_vec_env


@pytest.mark.parametrize("fused", [True, False])
def test_steps_are_those_of_the_paper(fused: bool) -> None:
    """Kingma & Ba 2015, algorithm 1, in float64; the state is saved and loaded on the way."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=3)
    first, second = np.zeros(3), np.zeros(3)
    parameter = nn.Parameter(torch.tensor(theta))
    optimizer = Adam([parameter], lr=0.1, eps=1e-5, fused=fused)
    for step in range(1, 9):
        gradient = rng.normal(size=3)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = np.sqrt(second / (1 - 0.999**step)) + 1e-5
        theta = theta - 0.1 * first / (1 - 0.9**step) / unbiased
        optimizer.zero_grad()
        (parameter * torch.tensor(gradient)).sum().backward()
        optimizer.step()
        assert parameter.detach().numpy() == pytest.approx(theta, abs=1e-12)
        state = copy.deepcopy(optimizer.state_dict())
        optimizer = Adam([parameter])
        optimizer.load_state_dict(state)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_does_without_the_compiler_of_torch(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making torch's own Adam, or a step of it, would raise ImportError."""
    optimizer = torch.optim.Optimizer
    for name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad"):
        wrapped: Any = getattr(optimizer, name).__wrapped__
        monkeypatch.delattr(wrapped, "__dynamo_disable", raising=False)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)
    with pytest.raises(ImportError):
        torch.optim.Adam([nn.Parameter(torch.zeros(1))])
    options = {"num_envs": 2, "net_arch": [8], "batch_size": 8}
    options |= {"n_steps": 8} if algorithm == "ppo" else {"learning_starts": 8}
    env = make_vec_env("cartpole", num_envs=2)
    built = build_algorithm(load_recipe(algorithm, None, options), env, seed=0)
    built.learn(32)
    optimizers = [built.policy, *built.policy.children()]
    for owner in [one for one in optimizers if hasattr(one, "optimizer")]:
        owner.optimizer.load_state_dict(owner.optimizer.state_dict())
    env.close()
