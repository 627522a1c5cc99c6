"""Whether a policy fits the task that it acts in: its contract, its spaces, its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium

from sim2real.errors import UserError
from sim2real.simulation import Simulation
from sim2real.task import ObservationTerm, Task


def require_contract(policy: Any, task: Task, accept_changes: bool = False) -> None:
    """Compare the contract that the policy of a run carries with `task`.

    A policy that carries none passes. Prints a table of what differs, and raises UserError unless
    it is accepted.
    """
    module = getattr(policy, "policy", policy)  # of an algorithm of SB3
    contract = getattr(module, "run_contract", None)
    if contract is not None:
        contract.require(task, accept_changes)


def check_weights(policy: Any) -> None:
    """UserError for a policy of Torch, or of SB3, with weights that are not finite."""
    module: Any = getattr(policy, "policy", policy)
    tensors = module.state_dict() if hasattr(module, "state_dict") else {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"the policy's {name} has numbers that are not finite")


def check_columns(terms: Sequence[ObservationTerm], simulation: Simulation) -> None:
    """UserError unless a policy that acts on what is privileged finds the same here."""
    wanted = [label for term in terms for label in term.labels]
    given = [label for term in simulation.observation_terms for label in term.labels]
    if wanted != given:
        differ = ", ".join(sorted(set(wanted) ^ set(given))) or "their order"
        raise UserError(
            f"the policy acts on privileged observations; those in domain "
            f"{simulation.domain.name!r} differ from them: {differ}; "
            "allowed: domains that draw what it was trained with"
        )


def check_spaces(policy: Any, worlds: Any, name: str) -> None:
    """UserError if the policy has spaces, as SB3's have, and they are not the task's.

    A policy with `acting_terms` acts on these alone; it may have been trained with more.
    """
    terms: tuple[ObservationTerm, ...] = getattr(policy, "acting_terms", ())
    for kind in ("observation_space", "action_space"):
        given = _shape(getattr(policy, kind, None))
        if terms and kind == "observation_space":
            given = (sum(term.size for term in terms),)
        expected = _shape(getattr(worlds, kind))
        if given is not None and given != expected:
            raise UserError(
                f"the policy's {kind} has the shape {given}, but task {name!r} has {expected}"
            )


def _shape(space: Any) -> Any:
    """The shape of a space, or of each part of a Dict; None where it has none."""
    if isinstance(space, gymnasium.spaces.Dict):
        return {name: part.shape for name, part in space.spaces.items()}
    return getattr(space, "shape", None)
