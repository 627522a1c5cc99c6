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
from sim2real.policies.modifiers.input_layer import InputLayer
from sim2real.policies.modifiers.linear import merge_layers
from sim2real.policies.modifiers.low_rank import LowRank
from sim2real.policies.modifiers.modifier import Frozen, Head, Modifier
from sim2real.policies.modifiers.residual import Residual

__all__ = [
    "MODIFIERS",
    "Frozen",
    "Head",
    "InputLayer",
    "LowRank",
    "Modifier",
    "Residual",
    "add_structure_of",
    "apply_modifiers",
    "merge",
    "modifiers_of",
    "parse_modifier",
]

MODIFIERS: dict[str, type[Modifier]] = {
    "frozen": Frozen,
    "head": Head,
    "input_layer": InputLayer,
    "low_rank": LowRank,
    "residual": Residual,
}
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


def add_structure_of(source: BasePolicy, policy: BasePolicy) -> None:
    """Give `policy` the networks that modifiers added to `source` and `merge` leaves, in place."""
    apply_modifiers(policy, [one for one in modifiers_of(source) if isinstance(one, Residual)])


def merge(policy: BasePolicy) -> BasePolicy:
    """A copy of the policy in plain layers that acts equally; a residual policy stays beside them.

    W + s B A in place of W with a low-rank adapter, W V and W c + b with an input layer.
    """
    merged = copy.deepcopy(policy)
    merge_layers(merged)
    merged.modifiers = tuple(  # type: ignore[assignment]
        one for one in modifiers_of(policy) if not isinstance(one, Frozen | InputLayer | LowRank)
    )
    return merged
