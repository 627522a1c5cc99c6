"""The policies of SAC and TD3, with networks that give the same in fewer operations.

Parameters and their names are those of stable-baselines3.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.sac.policies import Actor
from stable_baselines3.sac.policies import SACPolicy as SB3SACPolicy
from stable_baselines3.td3.policies import TD3Policy as SB3TD3Policy
from torch import Tensor, nn

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
EPSILON = 1e-6
"""Added by stable-baselines3 to the derivative of tanh, so that its logarithm is finite."""


class SquashedActor(Actor):
    """That of SAC, with the log-probability of a sample from its noise."""

    def action_log_prob(self, obs: PyTorchObs) -> tuple[Tensor, Tensor]:
        """Actions tanh(mean + std n), (m, nu), and their log-probabilities, (m,).

        The exponent of the Gaussian is -n²/2, which SB3 computes from the action again.
        """
        if self.use_sde:
            return super().action_log_prob(obs)
        mean, log_std, _ = self.get_action_dist_params(obs)
        noise = torch.randn_like(mean)
        actions = torch.tanh(mean + noise * log_std.exp())
        slope = torch.log(1.0 - actions.square() + EPSILON)
        return actions, -(0.5 * noise.square() + HALF_LOG_2PI + log_std + slope).sum(dim=1)


Norm = Literal["layer", "batch"]
MOMENTUM = 0.01
"""Weight of a batch in the running statistics (Bhatt et al. 2024, arXiv:1902.05605)."""


class Critic(ContinuousCritic):
    """That of SAC and TD3; an actor that learns from it gets gradients, and its weights none.

    With a `norm` each hidden layer is normalized before its activation.
    """

    def __init__(self, *args: Any, norm: Norm | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        if norm is not None:
            self.q_networks = [_normalized(one, norm) for one in self.q_networks]
            for index, network in enumerate(self.q_networks):
                self.add_module(f"qf{index}", network)

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """The values of all Q functions, (m, 1) each."""
        with constant(self, actions.requires_grad):
            return super().forward(obs, actions)

    def q1_forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """The values of the first, (m, 1)."""
        with constant(self, actions.requires_grad):
            return super().q1_forward(obs, actions)


def _normalized(network: nn.Module, norm: Norm) -> nn.Sequential:
    """The layers of `network` with a normalization after each linear one but the last."""
    *hidden, last = network.children()
    layers: list[nn.Module] = []
    for layer in hidden:
        layers.append(layer)
        if isinstance(layer, nn.Linear):
            size = layer.out_features
            batch = nn.BatchNorm1d(size, momentum=MOMENTUM)
            layers.append(batch if norm == "batch" else nn.LayerNorm(size))
    return nn.Sequential(*layers, last)


@contextlib.contextmanager
def constant(network: nn.Module, condition: bool) -> Iterator[None]:
    """On the `condition`, no gradients of the network's parameters are recorded."""
    learned = [one for one in network.parameters() if one.requires_grad] if condition else []
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


class SACPolicy(SB3SACPolicy):
    """That of SAC, whose critics may be normalized."""

    def __init__(self, *args: Any, critic_norm: Norm | None = None, **options: Any) -> None:
        self.critic_norm = critic_norm
        super().__init__(*args, **options)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """An actor on its own device."""
        options: Any = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return SquashedActor(**options).to(self.device)

    def make_critic(
        self, features_extractor: BaseFeaturesExtractor | None = None
    ) -> ContinuousCritic:
        """Q functions on their own device."""
        options: Any = self._update_features_extractor(self.critic_kwargs, features_extractor)
        return Critic(**options, norm=self.critic_norm).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"critic_norm": self.critic_norm}


class TD3Policy(SB3TD3Policy):
    """That of TD3."""

    def make_critic(
        self, features_extractor: BaseFeaturesExtractor | None = None
    ) -> ContinuousCritic:
        """Q functions on their own device."""
        options: Any = self._update_features_extractor(self.critic_kwargs, features_extractor)
        return Critic(**options).to(self.device)
