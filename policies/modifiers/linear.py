"""Linear layers that a modifier has extended, and that can be merged into plain ones again."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional


class MergedLinear(nn.Linear):
    """A linear layer with more parameters; weight and bias are those of the layer it replaces."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias

    @abstractmethod
    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (outputs, inputs) and bias (outputs,) of the plain layer that gives the same."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape: (m, inputs) -> (m, outputs)."""
        return functional.linear(inputs, *self.merged())


def linear_layers(policy: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer of a policy by name, target networks included."""
    return {name: one for name, one in policy.named_modules() if isinstance(one, nn.Linear)}


def replace_layer(policy: nn.Module, name: str, layer: nn.Module) -> None:
    """Put `layer` into the place of the module of that name."""
    parent, _, last = name.rpartition(".")
    setattr(policy.get_submodule(parent), last, layer)


def merge_layers(policy: nn.Module) -> None:
    """Replace every extended layer by a plain one with the merged weight and bias, in place."""
    for name, layer in linear_layers(policy).items():
        if isinstance(layer, MergedLinear):
            with torch.random.fork_rng(devices=[]):
                plain = nn.Linear(layer.in_features, layer.out_features)
            weight, bias = layer.merged()
            plain.weight, plain.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
            replace_layer(policy, name, plain)
