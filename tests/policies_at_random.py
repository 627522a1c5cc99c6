"""Policies of every kind with random weights and statistics, to compare their exports with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from sim2real.policies.build import build_algorithm
from sim2real.policies.modifiers import InputLayer, LowRank, Modifier, Residual, apply_modifiers
from sim2real.policies.normalizer import update_normalizers
from sim2real.policies.recipe import load_recipe
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env

KINDS: dict[str, dict[str, Any]] = {
    "flat": {},
    "not_normalized": {"normalize_observations": False},
    "history": {"history": 3},
    "conv": {"history": 5, "encoder": "conv", "encoding": 3},
    "gru": {"history": 5, "encoder": "gru", "encoding": 3},
    "privileged_critic": {"privileged": True, "history": 2},
    "privileged_conv": {"privileged": True, "history": 4, "encoder": "conv", "encoding": 3},
    "estimate": {"privileged": True, "estimator_net_arch": [5]},
    "teacher": {"privileged_actor": True},
    "context": {"privileged_actor": True, "context_encoder": [8, 2]},
}
MODIFIED: dict[str, Sequence[Modifier]] = {
    "adapter": [LowRank(rank=1)],
    "input_layer": [InputLayer()],
    "residual": [Residual(net_arch=(4,))],
    "lateral": [Residual(net_arch=(4, 3), lateral=True)],
    "residual_and_adapter": [LowRank(rank=1, layers=("*0",)), Residual(net_arch=(4,))],
}


def made(task: str, algorithm: str, kind: str) -> tuple[BasePolicy, np.ndarray]:
    """A policy with weights and statistics drawn at random, and observations of its scale."""
    options = {"net_arch": [8, 3], "num_envs": 4, **KINDS.get(kind, {})}
    if kind == "estimate":
        options["estimate"] = {"truth": sum(one.size for one in Simulation(task).policy_terms)}
    recipe = load_recipe(algorithm, None, options)
    env = make_vec_env(task, "randomized", num_envs=4, **recipe.observed)
    policy = build_algorithm(recipe, env, 0).policy
    apply_modifiers(policy, MODIFIED.get(kind, ()))
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for one in policy.parameters():
            inputs = one[0].numel() if one.ndim > 1 else 9  # of a bias: a third
            one.copy_(torch.from_numpy(rng.normal(0.0, inputs**-0.5, one.shape)))
    (size,) = env.observation_space.shape or (0,)
    center, spread = rng.normal(size=size), np.exp(rng.normal(size=size))
    seen = (center + spread * rng.normal(size=(40, size))).astype(np.float32)
    update_normalizers(policy, torch.from_numpy(seen))
    policy.set_training_mode(False)
    acting = getattr(policy, "acting_terms", None)
    return policy, seen if acting is None else seen[:, : sum(term.size for term in acting)]
