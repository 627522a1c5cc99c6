"""Choose a method by what is known before a step is made: the spaces, the budget, the reward.

The rules follow what was measured (docs/methods/which.md). All methods end with episodes in the
target, of which the better policy of the old and the new one is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REPORT = "report/choice.json"
VERIFICATION = 0.1
"""Part of the budget of a fine-tuning with which its policy is compared with the source's."""
REPLACES_IDENTIFICATION = 0.5
"""From this part of the source's steps on, a budget pays for learning in the target itself."""


@dataclass(frozen=True)
class Choice:
    """A method by name, its options, and the reason in one sentence."""

    method: str
    reason: str
    options: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return dict(vars(self))


def choose(budget: int, source_steps: int | None, given: Mapping[str, Any]) -> Choice:
    """The method for a target.

    `given` are the user's options; `reward: false` among them says that the target has no reward,
    `match` that the source is of another task.
    `source_steps` are the control steps that the source's policy was trained for, None if unknown.
    """
    has_reward, other_task = given.get("reward", True), given.get("match") is not None
    if other_task and not has_reward:
        reason = (
            "the source is of another task and the target gives no reward: the observation "
            "statistics are estimated in the target"
        )
        return Choice("statistics", reason)
    if not has_reward:
        reason = (
            "the target gives no reward: a simulation is identified from its observations, and "
            "its own reward is learned from"
        )
        return Choice("identify", reason)
    if other_task:
        reason = (
            "the source is of another task, whose worlds cannot be identified in the target's: its "
            "policy learns in the target"
        )
        return Choice("fine_tune", reason, {"verification": VERIFICATION})
    if source_steps is not None and budget >= REPLACES_IDENTIFICATION * source_steps:
        reason = (
            f"{budget:,} steps of the target are enough to learn in it as in pretraining, which "
            f"had {source_steps:,}"
        )
        return Choice("retrain", reason)
    reason = (
        f"{budget:,} steps of the target are few to learn from: a simulation is identified from "
        "them, and the policy learns there"
    )
    return Choice("identify", reason)
