"""A policy's tensors by name: find them by pattern, copy them, freeze them.

Names are those of `policy.state_dict()`, so buffers (observation statistics) have one too. One
tensor may have several names (PPO's actor and critic share their features extractor), and a
target network repeats its source's: what is done to a tensor is done under all its names.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from sim2real.errors import UserError
from sim2real.policies.anatomy import anatomy, named_tensors, optimizer_owners


def match(policy: BasePolicy, patterns: Sequence[str]) -> tuple[str, ...]:
    """The names of the tensors that glob `patterns` select, with their aliases and targets.

    Raises UserError for a pattern that selects nothing, with the nearest names.
    """
    tensors = named_tensors(policy)
    chosen: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(tensors, pattern)
        if not found:
            raise UserError(_no_match(pattern, tensors))
        chosen.update(found)
    chosen |= {name for name, part in anatomy(policy).items() if part.follows in chosen}
    identities = {id(tensors[name]) for name in chosen}
    return tuple(name for name, tensor in tensors.items() if id(tensor) in identities)


def _no_match(pattern: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(pattern.replace("*", ""), list(names), n=3, cutoff=0.0)
    return f"no tensor is named like {pattern!r}; nearest: {', '.join(near)}"


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
        raise UserError(f"nothing is left to learn in the {name}: every tensor of it is frozen")
    owner.optimizer = type(old)(parameters, **old.defaults)
