from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sim2real.policies.tensors import actor_parameters, freeze_tensors, match, named_tensors
from sim2real.training.callbacks import NormalizerUpdate
from sim2real.transfer.schedule import CriticWarmUp, KeepFrozen

ALGORITHMS = ["ppo", "sac", "td3"]
FIRST_LAYERS = {
    "ppo": ["mlp_extractor.*_net.0.*", "*running_*", "*.count"],
    "sac": ["actor.latent_pi.0.*", "critic.qf*.0.*", "*running_*", "*.count"],
    "td3": ["actor.mu.0.*", "critic.qf*.0.*", "*running_*", "*.count"],
}


def copies(tensors: list[Any]) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


def same(left: list[torch.Tensor], right: list[Any]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(left, right, strict=True)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_warm_up_moves_the_critic_alone_then_both(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learner = build(algorithm, counting(4))
    actor = list(actor_parameters(learner.policy))
    before_actor, tensors = copies(actor), named_tensors(learner.policy)
    critic = [t for name, t in tensors.items() if "value_net" in name or "critic.qf" in name]
    before_critic = copies(critic)
    alpha = getattr(learner, "log_ent_coef", None)
    learner.learn(64, callback=CriticWarmUp(64))
    assert all(same(before_actor, actor))
    assert not any(same(before_critic, critic))
    assert alpha is None or alpha.item() == 0.0
    assert all(parameter.requires_grad for parameter in actor)
    learner.learn(64, callback=CriticWarmUp(64), reset_num_timesteps=False)
    assert not any(same(before_actor, actor))
    assert alpha is None or alpha.item() != 0.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_frozen_tensors_stay_to_the_last_bit(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learner = build(algorithm, counting(4), learning_rate=0.01)
    learner.learn(32)  # optimizers have momentum, target networks differ from their source
    policy = learner.policy
    names = match(policy, FIRST_LAYERS[algorithm])
    freeze_tensors(policy, names)
    tensors = named_tensors(policy)
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    callbacks = [NormalizerUpdate(), KeepFrozen(names)]
    learner.learn(64, callback=callbacks)  # type: ignore[arg-type]
    moved = {name for name, tensor in tensors.items() if not torch.equal(before[name], tensor)}
    assert moved == set(tensors) - set(names)
