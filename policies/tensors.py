"""A policy's tensors by name: find them by pattern, copy them, freeze them.

Names are those of `policy.state_dict()`, so buffers (observation statistics) have one too. One
tensor may have several names (PPO's actor and critic share their features extractor), and a
target network repeats its source's: what is done to a tensor is done under all its names.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from sim2real.errors import UserError
from sim2real.policies.adam import FACTOR
from sim2real.policies.anatomy import anatomy, named_tensors, optimizer_owners
from sim2real.policies.groups import GROUPS


def match(policy: BasePolicy, patterns: Sequence[str]) -> tuple[str, ...]:
    """The names of the tensors that `patterns` select, with their aliases and targets.

    A pattern is the name of a group (see `policies.groups`), or a glob pattern over names.
    Raises UserError for a pattern that selects nothing, with the nearest names.
    """
    tensors, parts = named_tensors(policy), anatomy(policy)
    chosen: set[str] = set()
    for pattern in patterns:
        group = GROUPS.get(pattern)
        if group is None:
            found = fnmatch.filter(tensors, pattern)
        else:
            found = [name for name, part in parts.items() if group(part)]
        if not found:
            raise UserError(_no_match(pattern, tensors))
        chosen.update(found)
    chosen |= {name for name, part in parts.items() if part.follows in chosen}
    identities = {id(tensors[name]) for name in chosen}
    return tuple(name for name, tensor in tensors.items() if id(tensor) in identities)


def _no_match(pattern: str, names: Iterable[str]) -> str:
    if pattern in GROUPS:
        return f"the policy has no tensor of the group {pattern!r}"
    known = [*GROUPS, *names]
    near = difflib.get_close_matches(pattern.replace("*", ""), known, n=3, cutoff=0.0)
    return f"no group or tensor is named like {pattern!r}; nearest: {', '.join(near)}"


def copy_tensors(source: nn.Module, target: nn.Module, names: Iterable[str]) -> None:
    """Copy the values of the tensors `names` from one module into another, in place."""
    values, places = named_tensors(source), named_tensors(target)
    with torch.no_grad():
        for name in names:
            places[name].copy_(values[name])


def freeze_tensors(policy: BasePolicy, names: Iterable[str]) -> None:
    """Make the tensors `names` constants: no gradient, and no optimizer knows them.

    New optimizers are made of the other tensors, so that neither momentum nor weight decay moves
    a frozen one. Raises UserError if a network has nothing left to learn.
    """
    tensors = named_tensors(policy)
    for name in names:
        tensors[name].requires_grad_(False)
    for owner_name, owner in optimizer_owners(policy).items():
        renew_optimizer(owner_name, owner)


def renew_optimizer(name: str, owner: Any) -> None:
    """Replace `owner.optimizer` by a fresh one of the same options over what may be learned."""
    old = owner.optimizer
    parameters = [parameter for parameter in owner.parameters() if parameter.requires_grad]
    if not parameters:
        raise nothing_left(name)
    owner.optimizer = type(old)(parameters, **old.defaults)


def nothing_left(network: str) -> UserError:
    """The error for a network without a tensor that learns."""
    return UserError(f"nothing is left to learn in the {network}: every tensor of it is frozen")


def scale_learning_rates(policy: BasePolicy, factors: Mapping[str, float]) -> None:
    """Multiply the learning rate of what patterns match by their factors, in fresh optimizers.

    `factors` are by group or glob pattern; of several patterns that match, the last one counts.
    Raises UserError for a pattern that matches nothing that learns.
    """
    tensors, factor_of = named_tensors(policy), dict[int, float]()
    for pattern, factor in factors.items():
        found = [tensors[name] for name in match(policy, [pattern])]
        learning = [tensor for tensor in found if tensor.requires_grad]
        if not learning:
            raise UserError(f"learning rate of {pattern!r}: nothing that it matches learns")
        factor_of |= {id(tensor): factor for tensor in learning}
    for owner in optimizer_owners(policy).values():
        old, groups = owner.optimizer, dict[float, list[nn.Parameter]]()
        for group in old.param_groups:
            for parameter in group["params"]:
                groups.setdefault(factor_of.get(id(parameter), 1.0), []).append(parameter)
        scaled = [{"params": one, FACTOR: factor} for factor, one in groups.items()]
        owner.optimizer = type(old)(scaled, **old.defaults)
