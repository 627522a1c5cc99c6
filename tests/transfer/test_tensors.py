from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sim2real.errors import UserError
from sim2real.transfer.tensors import (
    copy_tensors,
    freeze_tensors,
    hold_bitwise,
    match,
    named_tensors,
    optimizer_owners,
)

FIRST_LAYERS = {
    "ppo": ["mlp_extractor.*_net.0.*", "*running_*"],
    "sac": ["actor.latent_pi.0.*", "critic.qf*.0.*", "*running_*"],
    "td3": ["actor.mu.0.*", "critic.qf*.0.*", "*running_*"],
}


def test_a_tensor_is_found_under_all_its_names(
    build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    policy = build("ppo", counting(2)).policy
    found = match(policy, ["features_extractor.normalizer.running_mean"])
    assert found == (
        "features_extractor.normalizer.running_mean",
        "pi_features_extractor.normalizer.running_mean",
        "vf_features_extractor.normalizer.running_mean",
    )


def test_target_networks_follow_their_source(
    build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    policy = build("td3", counting(2)).policy
    assert match(policy, ["actor.mu.0.weight", "critic.qf1.0.bias"]) == (
        "actor.mu.0.weight",
        "actor_target.mu.0.weight",
        "critic.qf1.0.bias",
        "critic_target.qf1.0.bias",
    )


def test_a_pattern_that_matches_nothing(
    build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    policy = build("ppo", counting(2)).policy
    message = r"no tensor is named like 'mlp_extractor.policy_nets.0\*'; nearest: mlp_extr.*policy"
    with pytest.raises(UserError, match=message):
        match(policy, ["mlp_extractor.policy_nets.0*"])


def test_everything_frozen_is_refused(
    build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    policy = build("sac", counting(2)).policy
    with pytest.raises(UserError, match="nothing is left to learn in the actor"):
        freeze_tensors(policy, match(policy, ["actor.*"]))


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_frozen_tensors_stay_to_the_last_bit(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learner = build(algorithm, counting(4), learning_rate=0.01)
    learner.learn(32)  # optimizers have momentum, target networks differ from their source
    policy = learner.policy
    names = match(policy, FIRST_LAYERS[algorithm])
    freeze_tensors(policy, names)
    hold_bitwise(learner, names)
    tensors = named_tensors(policy)
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    learner.learn(64)
    moved = {name for name, tensor in tensors.items() if not torch.equal(before[name], tensor)}
    learnt = {name for name, tensor in tensors.items() if isinstance(tensor, torch.nn.Parameter)}
    assert moved == learnt - set(names)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_frozen_tensors_leave_the_optimizer(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learner = build(algorithm, counting(4), learning_rate=0.01)
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


def test_copy_takes_the_named_tensors_alone(
    build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    source = build("sac", counting(2), seed=1).policy
    target = build("sac", counting(2), seed=2).policy
    before = {name: tensor.clone() for name, tensor in named_tensors(target).items()}
    copy_tensors(source, target, ["actor.mu.weight"])
    for name, tensor in named_tensors(target).items():
        changed = not torch.equal(before[name], tensor)
        assert changed == (name == "actor.mu.weight")
    assert torch.equal(target.actor.mu.weight, source.actor.mu.weight)
