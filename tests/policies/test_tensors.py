from __future__ import annotations

from typing import Any

import pytest
import torch

from sim2real.errors import UserError
from sim2real.policies.anatomy import named_tensors, optimizer_owners
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.policies.tensors import copy_tensors, freeze_tensors, match
from sim2real.simulation.front_ends.vec_env import make_vec_env

SMALL: dict[str, Any] = {"net_arch": (8, 8), "batch_size": 16}


def build(algorithm: str, seed: int = 0, **options: Any) -> Any:
    recipe = load_recipe(algorithm, None, {**SMALL, **options})
    return build_algorithm(recipe, make_vec_env("cartpole", num_envs=2), seed)


FIRST_LAYERS = {
    "ppo": ["mlp_extractor.*_net.0.*", "*running_*"],
    "sac": ["actor.latent_pi.0.*", "critic.qf*.0.*", "*running_*"],
    "td3": ["actor.mu.0.*", "critic.qf*.0.*", "*running_*"],
}


def test_a_tensor_is_found_under_all_its_names() -> None:
    policy = build("ppo").policy
    found = match(policy, ["features_extractor.normalizer.running_mean"])
    assert found == (
        "features_extractor.normalizer.running_mean",
        "pi_features_extractor.normalizer.running_mean",
        "vf_features_extractor.normalizer.running_mean",
    )


def test_target_networks_follow_their_source() -> None:
    policy = build("td3").policy
    assert match(policy, ["actor.mu.0.weight", "critic.qf1.0.bias"]) == (
        "actor.mu.0.weight",
        "actor_target.mu.0.weight",
        "critic.qf1.0.bias",
        "critic_target.qf1.0.bias",
    )


def test_a_pattern_that_matches_nothing() -> None:
    policy = build("ppo").policy
    message = r"no tensor is named like 'mlp_extractor.policy_nets.0\*'; nearest: mlp_extr.*policy"
    with pytest.raises(UserError, match=message):
        match(policy, ["mlp_extractor.policy_nets.0*"])


def test_everything_frozen_is_refused() -> None:
    policy = build("sac").policy
    with pytest.raises(UserError, match="nothing is left to learn in the actor"):
        freeze_tensors(policy, match(policy, ["actor.*"]))


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_frozen_tensors_leave_the_optimizer(algorithm: str) -> None:
    learner = build(algorithm, learning_rate=0.01)
    policy = learner.policy
    options = policy.optimizer.defaults if algorithm == "ppo" else policy.actor.optimizer.defaults
    names = match(policy, FIRST_LAYERS[algorithm])
    freeze_tensors(policy, names)
    tensors = named_tensors(policy)
    frozen = {id(tensors[name]) for name in names}
    for owner in optimizer_owners(policy).values():
        optimized = {id(p) for group in owner.optimizer.param_groups for p in group["params"]}
        assert optimized
        assert not optimized & frozen
        assert owner.optimizer.defaults == options
    assert not any(tensors[name].requires_grad for name in names)


def test_copy_takes_the_named_tensors_alone() -> None:
    source = build("sac", seed=1).policy
    target = build("sac", seed=2).policy
    before = {name: tensor.clone() for name, tensor in named_tensors(target).items()}
    copy_tensors(source, target, ["actor.mu.weight"])
    for name, tensor in named_tensors(target).items():
        changed = not torch.equal(before[name], tensor)
        assert changed == (name == "actor.mu.weight")
    assert torch.equal(target.actor.mu.weight, source.actor.mu.weight)
