"""Low-rank adapters: y = (W + s B A) x + b with A (r, inputs) and B (outputs, r).

Hu et al. 2021, "LoRA: Low-rank adaptation of large language models", arXiv:2106.09685. B starts at
zero, so a policy with new adapters acts as before. W is frozen by a `Frozen` modifier.
"""

from __future__ import annotations

import fnmatch
import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn
from torch.nn import functional

from sim2real.errors import UserError, unknown
from sim2real.policies.anatomy import follower_of, optimizer_owners
from sim2real.policies.modifiers.modifier import Modifier
from sim2real.policies.tensors import renew_optimizer


class LowRankLinear(nn.Linear):
    """A linear layer with an adapter; its weight and bias are those of the layer it replaces."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.scale = scale
        self.adapter_down = nn.Parameter(torch.empty(rank, layer.in_features))
        self.adapter_up = nn.Parameter(torch.zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(self.adapter_down, a=math.sqrt(5))

    def merged_weight(self) -> Tensor:
        """W + s B A, (outputs, inputs)."""
        return self.weight + self.scale * (self.adapter_up @ self.adapter_down)

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape: (m, inputs) -> (m, outputs)."""
        return functional.linear(inputs, self.merged_weight(), self.bias)


class LowRank(Modifier):
    """Adapters of one rank on the layers that patterns match."""

    kind: Literal["low_rank"] = "low_rank"
    layers: tuple[str, ...] = ("*",)
    """Glob patterns of layers, "mlp_extractor.policy_net.0"; their target networks follow."""
    rank: Annotated[int, Field(ge=1)]
    """At most the smaller of the inputs and outputs of each layer named; `*` takes what fits."""
    scale: Annotated[float, Field(gt=0.0)] = 1.0

    def apply(self, policy: BasePolicy) -> LowRank:
        """Add the adapters; UserError for an unknown layer and for a rank that does not fit."""
        linear = linear_layers(policy)
        chosen = self._match(linear)
        for name in chosen:
            if isinstance(linear[name], LowRankLinear):
                raise UserError(f"layer {name} has a low-rank adapter already; merge it first")
            adapted = LowRankLinear(linear[name], self.rank, self.scale)
            _replace(policy, name, adapted)
        adapted_layers = linear_layers(policy)
        for follower in adapted_layers:
            if (leader := follower_of(follower)) in chosen:
                _replace(policy, follower, self._following(adapted_layers, follower, leader))
        for name, owner in optimizer_owners(policy).items():
            renew_optimizer(name, owner)
        return LowRank(layers=tuple(chosen), rank=self.rank, scale=self.scale)

    def _following(self, layers: dict[str, nn.Linear], follower: str, leader: str) -> LowRankLinear:
        made, source = LowRankLinear(layers[follower], self.rank, self.scale), layers[leader]
        assert isinstance(source, LowRankLinear)
        with torch.no_grad():
            made.adapter_down.copy_(source.adapter_down)
        return made

    def _match(self, linear: dict[str, nn.Linear]) -> list[str]:
        """The layers, without those of target networks, in the order of the policy."""
        names = [name for name in linear if not follower_of(name)]
        chosen: set[str] = set()
        for pattern in self.layers:
            found = fnmatch.filter(names, pattern)
            if not found:
                raise unknown("layer", pattern, names)
            chosen.update(found)
        sizes = {name: min(linear[name].weight.shape) for name in names if name in chosen}
        fitting = [name for name, size in sizes.items() if size >= self.rank]
        if (fitting != list(sizes) and self.layers != ("*",)) or not fitting:
            name = min(sizes, key=lambda one: sizes[one])
            raise UserError(
                f"a low-rank adapter of rank {self.rank} does not fit layer {name} of "
                f"{tuple(linear[name].weight.shape)}; allowed: 1 to {sizes[name]}"
            )
        return fitting


def linear_layers(policy: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer of a policy by name, target networks included."""
    return {name: one for name, one in policy.named_modules() if isinstance(one, nn.Linear)}


def merge_layers(policy: nn.Module) -> None:
    """Replace every adapted layer by a plain one with the merged weight, in place."""
    for name, layer in linear_layers(policy).items():
        if isinstance(layer, LowRankLinear):
            with torch.random.fork_rng(devices=[]):
                plain = nn.Linear(layer.in_features, layer.out_features)
            plain.weight = nn.Parameter(layer.merged_weight().detach())
            plain.bias = nn.Parameter(layer.bias.detach())
            _replace(policy, name, plain)


def _replace(policy: nn.Module, name: str, layer: nn.Linear) -> None:
    parent, _, last = name.rpartition(".")
    setattr(policy.get_submodule(parent), last, layer)
