"""Modifiers: what was done to the networks of a policy after their recipe made them, as data.

A run records them in its config.yaml, and they are applied again before its tensors are read:

    modifiers:
      - {kind: low_rank, layers: ["*"], rank: 4}
      - {kind: frozen, names: ["*.weight", "*.bias"]}
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from stable_baselines3.common.policies import BasePolicy

from sim2real.config import parse
from sim2real.errors import UserError, unknown
from sim2real.policies.modifiers.linear import merge_layers
from sim2real.policies.modifiers.low_rank import LowRank
from sim2real.policies.modifiers.modifier import Frozen, Head, Modifier

__all__ = [
    "MODIFIERS",
    "Frozen",
    "Head",
    "LowRank",
    "Modifier",
    "apply_modifiers",
    "merge",
    "modifiers_of",
    "parse_modifier",
]

MODIFIERS: dict[str, type[Modifier]] = {"frozen": Frozen, "head": Head, "low_rank": LowRank}
"""The kinds of modifiers, by name."""


def parse_modifier(data: Any) -> Modifier:
    """A modifier from {"kind": ..., option: value}; UserError for an unknown kind or option."""
    if not isinstance(data, Mapping) or "kind" not in data:
        raise UserError(f"modifier: expected a kind and its options; kinds: {', '.join(MODIFIERS)}")
    kind = data["kind"]
    if not isinstance(kind, str) or kind not in MODIFIERS:
        raise unknown("modifier", kind, MODIFIERS)
    return parse(MODIFIERS[kind], data, f"modifier {kind!r}")


def modifiers_of(policy: BasePolicy) -> tuple[Modifier, ...]:
    """What was applied to a policy, in this order."""
    return getattr(policy, "modifiers", ())


def apply_modifiers(policy: BasePolicy, modifiers: Iterable[Modifier]) -> None:
    """Change the networks of a policy in place, and note it in `policy.modifiers`.

    Random initial values are drawn from Torch's global generator. Raises UserError for layers,
    tensors and ranks that the policy does not have.
    """
    for modifier in modifiers:
        done = modifier.apply(policy)
        policy.modifiers = (*modifiers_of(policy), done)  # type: ignore[assignment]


def merge(policy: BasePolicy) -> BasePolicy:
    """A copy of the policy without low-rank adapters: W + s B A in place of W, the same actions."""
    merged = copy.deepcopy(policy)
    merge_layers(merged)
    merged.modifiers = tuple(  # type: ignore[assignment]
        one for one in modifiers_of(policy) if not isinstance(one, Frozen | LowRank)
    )
    return merged
