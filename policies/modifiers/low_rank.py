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

from sim2real.errors import UserError, unknown
from sim2real.policies.anatomy import follower_of, optimizer_owners
from sim2real.policies.modifiers.linear import MergedLinear, linear_layers, replace_layer
from sim2real.policies.modifiers.modifier import Modifier
from sim2real.policies.tensors import renew_optimizer


class LowRankLinear(MergedLinear):
    """A linear layer with an adapter."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__(layer)
        self.scale = scale
        self.lora_A = nn.Parameter(torch.empty(rank, layer.in_features))
        self.lora_B = nn.Parameter(torch.zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def merged(self) -> tuple[Tensor, Tensor]:
        """W + s B A, and b."""
        return self.weight + self.scale * (self.lora_B @ self.lora_A), self.bias


class LowRank(Modifier):
    """Adapters of one rank on the layers that patterns match."""

    kind: Literal["low_rank"] = "low_rank"
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Glob patterns of layers, "mlp_extractor.policy_net.0"; their target networks follow."""
    rank: Annotated[int, Field(ge=1)]
    """At most the smaller of the inputs and outputs of each layer named; `*` takes what fits."""
    scale: Annotated[float, Field(gt=0.0)] = 1.0

    def apply(self, policy: BasePolicy) -> LowRank:
        """Add the adapters; UserError for an unknown layer and for a rank that does not fit."""
        linear = linear_layers(policy)
        chosen = self._match(linear)
        for name in chosen:
            if isinstance(linear[name], MergedLinear):
                raise UserError(f"layer {name} has an adapter already; merge it first")
            adapted = LowRankLinear(linear[name], self.rank, self.scale)
            replace_layer(policy, name, adapted)
        adapted_layers = linear_layers(policy)
        for follower in adapted_layers:
            if (leader := follower_of(follower)) in chosen:
                replace_layer(policy, follower, self._following(adapted_layers, follower, leader))
        for name, owner in optimizer_owners(policy).items():
            renew_optimizer(name, owner)
        return LowRank(layers=tuple(chosen), rank=self.rank, scale=self.scale)

    def _following(self, layers: dict[str, nn.Linear], follower: str, leader: str) -> LowRankLinear:
        made, source = LowRankLinear(layers[follower], self.rank, self.scale), layers[leader]
        assert isinstance(source, LowRankLinear)
        with torch.no_grad():
            made.lora_A.copy_(source.lora_A)
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
        every = self.layers == ("*",)
        if not fitting or (len(fitting) < len(sizes) and not every):
            name = (max if every else min)(sizes, key=lambda one: sizes[one])
            raise UserError(
                f"a low-rank adapter of rank {self.rank} does not fit layer {name} of "
                f"{tuple(linear[name].weight.shape)}; allowed: 1 to {sizes[name]}"
            )
        return fitting
