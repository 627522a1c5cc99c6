"""Freeze tensors of a stable-baselines3 model: PPO, SAC, TD3, of this library or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from sim2real.errors import UserError
from sim2real.policies.anatomy import anatomy, follower_of, named_tensors, optimizer_owners
from sim2real.policies.tensors import match, nothing_left


@dataclass(frozen=True)
class LayerSummary:
    """How many numbers of a layer are frozen, and how many learn; target networks are left out."""

    layer: str
    frozen: int
    learning: int


@dataclass(frozen=True)
class FreezeSummary:
    """What is frozen in a model; `print` shows it as a table."""

    layers: tuple[LayerSummary, ...]
    names: tuple[str, ...]
    """The frozen tensors."""

    def __str__(self) -> str:
        frozen = sum(row.frozen for row in self.layers)
        learning = sum(row.learning for row in self.layers)
        rows = [("layer", "frozen", "learning")]
        rows += [(row.layer, f"{row.frozen:,}", f"{row.learning:,}") for row in self.layers]
        rows += [("all", f"{frozen:,}", f"{learning:,}")]
        wide = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            f"{name:{wide[0]}}  {one:>{wide[1]}}  {other:>{wide[2]}}" for name, one, other in rows
        )


def freeze(model: BaseAlgorithm, patterns: Sequence[str]) -> FreezeSummary:
    """Make tensors of a model's policy constants, until it is made or loaded again.

    `patterns` are groups (`sim2real.policies.groups`) and glob patterns over the names of
    `model.policy.state_dict()`. A frozen parameter becomes a buffer: it has no gradient, so that
    neither momentum nor weight decay moves it, and target networks do not average it. The names in
    `state_dict()` and the optimizers stay as they are, so that a saved model can be loaded; what
    is frozen is not saved with it, so freeze it again.

    Raises UserError for another algorithm, for a pattern without match, with the nearest names, and
    if an actor or critic has nothing left to learn.
    """
    if not isinstance(model, PPO | SAC | TD3):
        raise UserError(f"freeze: {type(model).__name__} is no PPO, SAC or TD3")
    policy: BasePolicy = model.policy
    parts, tensors = anatomy(policy), named_tensors(policy)
    chosen = match(policy, patterns)
    leaders = [parts[name].follows for name in chosen if parts[name].follows]
    names = match(policy, [*chosen, *leaders])
    constant = {id(tensors[name]) for name in names}
    for name, owner in optimizer_owners(policy).items():
        if all(id(one) in constant for one in owner.parameters()):
            raise nothing_left(name)
    for name in names:
        _make_constant(policy, name)
    return _summary(policy)


def _make_constant(policy: nn.Module, name: str) -> None:
    """Turn a parameter into a buffer of the same name and storage."""
    parent, _, last = name.rpartition(".")
    module = policy.get_submodule(parent)
    parameter = module._parameters.pop(last, None)
    if parameter is not None:
        parameter.requires_grad_(False)
        parameter.grad = None  # an optimizer steps on gradients that are left over
        module.register_buffer(last, parameter.detach())


def _summary(policy: BasePolicy) -> FreezeSummary:
    counts: dict[str, list[int]] = {}
    tensors = named_tensors(policy)
    listed: set[int] = set()
    for name, tensor in tensors.items():
        if id(tensor) not in listed and not follower_of(name):
            row = counts.setdefault(name.rpartition(".")[0] or name, [0, 0])
            row[tensor.requires_grad] += tensor.numel()
        listed.add(id(tensor))
    rows = tuple(LayerSummary(layer, *numbers) for layer, numbers in counts.items())
    frozen = tuple(name for name, tensor in tensors.items() if not tensor.requires_grad)
    return FreezeSummary(rows, frozen)
