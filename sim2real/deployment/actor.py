"""What a policy does with an observation, as one pure module: no noise, no critic, no checks.

    a = squash(head(trunk(encoder(normalize(o)))))

The squash is a clip to the range of the actions (PPO), or tanh and the affine map onto it (SAC,
TD3), as in `predict`. Adapters are merged, and a residual policy is a part of trunk and head.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from sim2real.policies.modifiers import merge
from sim2real.policies.modifiers.linear import replace_layer
from sim2real.policies.normalizer import CLIP, EPSILON, RunningNormalizer


class FixedNormalizer(nn.Module):
    """A `RunningNormalizer` whose statistics are constants; gives the same to the last bit."""

    mean: Tensor
    scale: Tensor

    def __init__(self, running: RunningNormalizer) -> None:
        super().__init__()
        self.register_buffer("mean", running.running_mean.float())
        self.register_buffer("scale", torch.rsqrt(running.running_var.float() + EPSILON))

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations. Shape: (..., size). A NaN becomes 0, the mean."""
        size = observations.shape[-1]
        normal = (observations - self.mean[:size]) * self.scale[:size]
        clipped = normal.clamp(-CLIP, CLIP)
        return torch.where(torch.isnan(clipped), 0.0, clipped)


class Actor(nn.Module):
    """The actions of a policy without exploration noise, of what its actor observes."""

    low: Tensor
    high: Tensor

    def __init__(self, policy: BasePolicy) -> None:
        super().__init__()
        merged = merge(policy)
        space = cast(spaces.Box, policy.action_space)
        self.features, self.layers = _parts(merged)
        self.squashes = bool(policy.squash_output)
        self.register_buffer("low", torch.as_tensor(space.low, dtype=torch.float32))
        self.register_buffer("high", torch.as_tensor(space.high, dtype=torch.float32))
        _fix_normalizers(self)
        self.requires_grad_(False)
        self.eval()

    def forward(self, observations: Tensor) -> Tensor:
        """Actions in the policy's action space. Shape: (m, k) -> (m, nu)."""
        given: Tensor = self.layers(self.features(observations))
        if self.squashes:
            return self.low + 0.5 * (given + 1.0) * (self.high - self.low)
        return torch.maximum(torch.minimum(given, self.high), self.low)


def _parts(policy: Any) -> tuple[nn.Module, nn.Module]:
    """The features extractor of the actor, and its layers up to the squash."""
    if isinstance(policy, ActorCriticPolicy):
        layers = [policy.mlp_extractor.policy_net, policy.action_net]
        squash = [nn.Tanh()] if policy.squash_output else []
        return policy.pi_features_extractor, nn.Sequential(*layers, *squash)
    actor = policy.actor
    if isinstance(policy, TD3Policy):
        return actor.features_extractor, actor.mu
    return actor.features_extractor, nn.Sequential(actor.latent_pi, actor.mu, nn.Tanh())


def _fix_normalizers(module: nn.Module) -> None:
    for name, one in list(module.named_modules()):
        if isinstance(one, RunningNormalizer):
            replace_layer(module, name, FixedNormalizer(one))
