"""A residual policy: a small network beside the actor, added to what its heads give.

    mean(o) = mean_source(o) + f(o),    f = 0 at the start

Silver et al. 2018, "Residual policy learning", arXiv:1812.06298; Johannink et al. 2019, "Residual
reinforcement learning for robot control", arXiv:1812.03201. It is added before the squash of SAC
and TD3, so that actions stay within their bounds; SAC's log standard deviation gets one, too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from sim2real.errors import UserError
from sim2real.policies.anatomy import optimizer_owners
from sim2real.policies.layers import Layers
from sim2real.policies.modifiers.modifier import Modifier
from sim2real.policies.tensors import renew_optimizer


class Trunk(nn.Sequential):
    """Hidden layers that give all that they compute: [outputs | inputs | each hidden layer]."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape: (m, inputs) -> (m, outputs + inputs + hidden units)."""
        seen = activations(self, inputs)
        return torch.cat([seen[-1], *seen], dim=1)


def activations(layers: Iterable[nn.Module], inputs: Tensor) -> list[Tensor]:
    """The inputs, (m, k), and what comes out of each pair of linear layer and activation."""
    found, steps = [inputs], list(layers)
    for linear, activation in zip(steps[::2], steps[1::2], strict=True):
        found.append(activation(linear(found[-1])))
    return found


class Column(nn.Sequential):
    """The added network; with `lateral` each layer reads the source's layer beside it, too."""

    def __init__(self, layers: Iterable[nn.Module], lateral: bool) -> None:
        super().__init__(*layers)
        self.lateral = lateral

    def forward(self, source: Sequence[Tensor]) -> Tensor:
        """The sum's second part, (m, outputs), from the `activations` of the source's layers."""
        *hidden, last = self.children()
        own = source[0]
        for depth, (linear, activation) in enumerate(zip(hidden[::2], hidden[1::2], strict=True)):
            own = activation(linear(self._beside(own, source, depth)))
        added: Tensor = last(self._beside(own, source, len(hidden) // 2))
        return added

    def _beside(self, own: Tensor, source: Sequence[Tensor], depth: int) -> Tensor:
        return torch.cat([own, source[depth]], dim=1) if self.lateral and depth else own


class ResidualHead(nn.Module):
    """A head that reads what a `Trunk` gives: weight outputs + bias + the added network."""

    def __init__(self, head: nn.Linear, residual: Column, sizes: Sequence[int]) -> None:
        super().__init__()
        self.weight, self.bias, self.residual = head.weight, head.bias, residual
        self.sizes = list(sizes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape: (m, outputs + inputs + hidden units of the trunk) -> (m, outputs)."""
        latent, *source = torch.split(inputs, [self.sizes[-1], *self.sizes], dim=1)
        added: Tensor = self.residual(source)
        return nn.functional.linear(latent, self.weight, self.bias) + added


class ResidualStack(nn.Sequential):
    """Layers that end in a squash, with the added network before it."""

    def __init__(self, layers: nn.Sequential, residual: Column) -> None:
        super().__init__(*layers)
        self.residual = residual

    def forward(self, features: Tensor) -> Tensor:
        """Shape: (m, features) -> (m, outputs)."""
        *hidden, head, squash, residual = self.children()
        source = activations(hidden, features)
        squashed: Tensor = squash(head(source[-1]) + residual(source))
        return squashed


class Residual(Modifier):
    """A network added to the actor's heads; its target network follows."""

    kind: Literal["residual"] = "residual"
    net_arch: Layers | None = (32,)
    """Sizes of its hidden layers, None: the actor's; their activation is the policy's."""
    lateral: bool = False
    """Whether each of its layers reads the actor's layer beside it, as in a progressive network
    (Rusu et al. 2016, arXiv:1606.04671); it then has as many layers as the actor."""

    def apply(self, policy: BasePolicy) -> Residual:
        """Add it; UserError for an actor that has one, or whose heads have adapters."""
        if has_residual(policy):
            raise UserError("the actor has a residual policy already; allowed: one")
        if isinstance(policy, TD3Policy):
            residual = self._network(policy, policy.actor.mu)
            for one in (policy.actor, policy.actor_target):
                one.mu = ResidualStack(one.mu, copy.deepcopy(residual))
        elif isinstance(policy, ActorCriticPolicy):
            extractor: Any = policy.mlp_extractor
            self._extend(policy, extractor, "policy_net", policy, ["action_net"])
        else:
            actor: Any = policy.actor
            self._extend(policy, actor, "latent_pi", actor, ["mu", "log_std"])
        for name, owner in optimizer_owners(policy).items():
            renew_optimizer(name, owner)
        return self

    def _extend(self, policy: Any, owner: Any, trunk: str, heads: Any, names: list[str]) -> None:
        layers = getattr(owner, trunk)
        for name in names:
            if type(getattr(heads, name)) is not nn.Linear:
                raise UserError(f"{name} has an adapter; merge it first")
        for name in names:
            head = getattr(heads, name)
            residual = self._network(policy, [*layers, head])
            setattr(heads, name, ResidualHead(head, residual, sizes_of([*layers, head])))
        setattr(owner, trunk, Trunk(*layers))

    def _network(self, policy: Any, actor: Iterable[nn.Module]) -> Column:
        """Hidden layers as of a new network, and a last one of zeros."""
        source = sizes_of(actor)
        own = source[1:] if self.net_arch is None else list(self.net_arch)
        if self.lateral and len(own) != len(source) - 1:
            raise UserError(
                f"net_arch has {len(own)} layers, the actor {len(source) - 1}; lateral connections "
                "need as many"
            )
        outputs = [one.out_features for one in actor if isinstance(one, nn.Linear)][-1]
        beside = [0, *source[1:]] if self.lateral else [0] * (len(own) + 1)
        inputs = [size + more for size, more in zip([source[0], *own], beside, strict=True)]
        layers: list[nn.Module] = []
        for width, size in zip(inputs, own, strict=False):
            layers += [nn.Linear(width, size), policy.activation_fn()]
        last = nn.Linear(inputs[-1], outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return Column([*layers, last], self.lateral)


def sizes_of(actor: Iterable[nn.Module]) -> list[int]:
    """The inputs of an actor's layers: those of the first one, then the hidden units."""
    return [one.in_features for one in actor if isinstance(one, nn.Linear)]


def has_residual(policy: nn.Module) -> bool:
    """Whether a residual policy was added to the actor."""
    return any(isinstance(one, ResidualHead | ResidualStack) for one in policy.modules())
