"""A new layer before the first one: y = W (V x + c) + b with V = 1 and c = 0 at the start."""

from __future__ import annotations

from typing import Literal

import torch
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn

from sim2real.errors import UserError
from sim2real.policies.anatomy import anatomy, optimizer_owners
from sim2real.policies.modifiers.linear import MergedLinear, linear_layers, replace_layer
from sim2real.policies.modifiers.modifier import Modifier
from sim2real.policies.tensors import renew_optimizer


class InputLinear(MergedLinear):
    """A first layer behind a square one, which begins as the identity."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self.input_weight = nn.Parameter(torch.eye(layer.in_features))
        self.input_bias = nn.Parameter(torch.zeros(layer.in_features))

    def merged(self) -> tuple[Tensor, Tensor]:
        """W V, and W c + b."""
        return self.weight @ self.input_weight, self.weight @ self.input_bias + self.bias


class InputLayer(Modifier):
    """A linear layer between the normalized observation and the first layer of the actor."""

    kind: Literal["input_layer"] = "input_layer"

    def apply(self, policy: BasePolicy) -> InputLayer:
        """Add it, to the target network too; UserError where the first layer has an adapter."""
        for name in input_layers(policy):
            layer = linear_layers(policy)[name]
            if isinstance(layer, MergedLinear):
                raise UserError(f"layer {name} has an adapter already; merge it first")
            replace_layer(policy, name, InputLinear(layer))
        for name, owner in optimizer_owners(policy).items():
            renew_optimizer(name, owner)
        return self


def input_layers(policy: BasePolicy) -> list[str]:
    """The names of the actor's layers that read the features, in target networks, too."""
    own = [
        name.rpartition(".")[0]
        for name, part in anatomy(policy).items()
        if part.reads_input and part.role == "actor" and part.place in ("trunk", "head")
    ]
    return [name for name in dict.fromkeys(own) if "features_extractor." not in name]
