"""The networks of SAC and TD3 against those of stable-baselines3 with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from sim2real.policies.described import MlpSACPolicy, MlpTD3Policy
from sim2real.policies.normalizer import NormalizedExtractor

SEEN, GIVEN = spaces.Box(-np.inf, np.inf, (4,)), spaces.Box(-1.0, 1.0, (2,))


def pair(own: Any, theirs: Any) -> tuple[Any, Any]:
    """A policy of ours and one of stable-baselines3 with the same weights."""
    options = {"net_arch": [8, 8], "features_extractor_class": NormalizedExtractor}
    first, second = (kind(SEEN, GIVEN, lambda _: 1e-3, **options) for kind in (own, theirs))
    first.load_state_dict(second.state_dict())
    return first, second


def gradients(policy: Any, loss: Tensor) -> list[Tensor]:
    """Those of the actor's parameters."""
    policy.zero_grad(set_to_none=True)
    loss.backward()
    return [parameter.grad for parameter in policy.actor.parameters()]


def test_log_probabilities_and_their_gradients_are_those_of_stable_baselines3() -> None:
    torch.manual_seed(0)
    ours, theirs = pair(MlpSACPolicy, SACPolicy)
    observations, found = torch.randn(32, 4), []
    for policy in (ours, theirs):
        torch.manual_seed(1)
        actions, log_probs = policy.actor.action_log_prob(observations)
        loss = (log_probs + actions.sum(dim=1)).mean()
        found.append([actions, log_probs, *gradients(policy, loss)])
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_an_actor_learns_from_a_critic_whose_weights_get_no_gradients(algorithm: str) -> None:
    torch.manual_seed(0)
    kinds = {"sac": (MlpSACPolicy, SACPolicy), "td3": (MlpTD3Policy, TD3Policy)}
    ours, theirs = pair(*kinds[algorithm])
    observations, found = torch.randn(32, 4), []
    for policy in (ours, theirs):
        torch.manual_seed(1)
        actions = policy.actor(observations)
        if algorithm == "sac":
            value = torch.min(*policy.critic(observations, actions))
        else:
            value = policy.critic.q1_forward(observations, actions)
        found.append(gradients(policy, value.mean()))
    for own, other in zip(*found, strict=True):
        assert own is None if other is None else torch.equal(own, other)
    assert any(one is not None for one in found[0])
    assert all(one.grad is None for one in ours.critic.parameters())
    assert all(one.requires_grad for one in ours.critic.parameters())


def test_a_critic_learns_from_actions_that_were_taken() -> None:
    ours, _ = pair(MlpSACPolicy, SACPolicy)
    sum(one.sum() for one in ours.critic(torch.randn(8, 4), torch.randn(8, 2))).backward()
    assert all(one.grad is not None for one in ours.critic.parameters())
