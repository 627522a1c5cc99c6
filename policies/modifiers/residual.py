"""A residual policy: a small network beside the actor, added to what its heads give.

    mean(o) = mean_source(o) + f(o),    f = 0 at the start

Silver et al. 2018, "Residual policy learning", arXiv:1812.06298; Johannink et al. 2019, "Residual
reinforcement learning for robot control", arXiv:1812.03201. It is added before the squash of SAC
and TD3, so that actions stay within their bounds; SAC's log standard deviation gets one, too.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any, Literal

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from sim2real.errors import UserError
from sim2real.policies.anatomy import optimizer_owners
from sim2real.policies.modifiers.modifier import Modifier
from sim2real.policies.recipe import Layers
from sim2real.policies.tensors import renew_optimizer


class Passing(nn.Sequential):
    """Layers that give their inputs along: (m, inputs) -> (m, outputs + inputs)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs, then the inputs."""
        outputs: Tensor = super().forward(inputs)  # type: ignore[no-untyped-call]
        return torch.cat([outputs, inputs], dim=1)


class ResidualHead(nn.Module):
    """A head that reads [latent | features]: weight latent + bias + residual(features)."""

    def __init__(self, head: nn.Linear, residual: nn.Sequential) -> None:
        super().__init__()
        self.weight, self.bias, self.residual = head.weight, head.bias, residual

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape: (m, latent + features) -> (m, outputs)."""
        width = self.weight.shape[1]
        latent, features = inputs[:, :width], inputs[:, width:]
        head = nn.functional.linear(latent, self.weight, self.bias)
        added: Tensor = self.residual(features)
        return head + added


class ResidualStack(nn.Sequential):
    """Layers that end in a squash: squash(layers(features) + residual(features))."""

    def __init__(self, layers: nn.Sequential, residual: nn.Sequential) -> None:
        super().__init__(*layers)
        self.residual = residual

    def forward(self, features: Tensor) -> Tensor:
        """Shape: (m, features) -> (m, outputs)."""
        *layers, squash, residual = self.children()
        latent = features
        for layer in layers:
            latent = layer(latent)
        squashed: Tensor = squash(latent + residual(features))
        return squashed


class Residual(Modifier):
    """A network added to the actor's heads; its target network follows."""

    kind: Literal["residual"] = "residual"
    net_arch: Layers = (32,)
    """Sizes of its hidden layers; their activation is the policy's."""

    def apply(self, policy: BasePolicy) -> Residual:
        """Add it; UserError for an actor that has one, or whose heads have adapters."""
        if has_residual(policy):
            raise UserError("the actor has a residual policy already; allowed: one")
        if isinstance(policy, TD3Policy):
            self._extend_stack(policy)
        elif isinstance(policy, ActorCriticPolicy):
            stack = policy.mlp_extractor
            features = policy.pi_features_extractor.features_dim
            self._extend_heads(policy, (stack, "policy_net"), (policy, ["action_net"]), features)
        else:
            actor: Any = policy.actor
            self._extend_heads(
                policy, (actor, "latent_pi"), (actor, ["mu", "log_std"]), actor.features_dim
            )
        for name, owner in optimizer_owners(policy).items():
            renew_optimizer(name, owner)
        return self

    def _extend_stack(self, policy: Any) -> None:
        outputs = policy.action_space.shape[0]
        residual = self._network(policy, policy.actor.features_dim, outputs)
        for actor in (policy.actor, policy.actor_target):
            actor.mu = ResidualStack(actor.mu, copy.deepcopy(residual))

    def _extend_heads(
        self,
        policy: BasePolicy,
        trunk: tuple[Any, str],
        heads: tuple[Any, list[str]],
        features: int,
    ) -> None:
        owner, names = heads
        plain = {name: getattr(owner, name) for name in names}
        for name, head in plain.items():
            if type(head) is not nn.Linear:
                raise UserError(f"{name} has an adapter; merge it first")
        for name, head in plain.items():
            residual = self._network(policy, features, head.out_features)
            setattr(owner, name, ResidualHead(head, residual))
        owner, name = trunk
        setattr(owner, name, Passing(*getattr(owner, name)))

    def _network(self, policy: Any, inputs: int, outputs: int) -> nn.Sequential:
        """Hidden layers as of a new network, and a last one of zeros."""
        network = nn.Sequential(*_layers([inputs, *self.net_arch], policy.activation_fn))
        last = nn.Linear((inputs, *self.net_arch)[-1], outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return network.append(last)


def _layers(sizes: list[int], activation: type[nn.Module]) -> Iterator[nn.Module]:
    for before, after in itertools.pairwise(sizes):
        yield nn.Linear(before, after)
        yield activation()


def has_residual(policy: nn.Module) -> bool:
    """Whether a residual policy was added to the actor."""
    return any(isinstance(one, ResidualHead | ResidualStack) for one in policy.modules())
