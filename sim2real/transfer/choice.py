"""Choose a method by what is known before a step is made.

That is the spaces, what the policy acts on, a log at hand, the budget, and the reward.

The rules follow what was measured (docs/methods/which.md). All methods end with episodes in the
target, of which the better policy of the old and the new one is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim2real.runs.run import Run

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


def choose(
    budget: int,
    source_steps: int | None,
    given: Mapping[str, Any],
    *,
    acts_on_context: bool = False,
) -> Choice:
    """The method for a target.

    `given` are the user's options; `reward: false` among them says that the target has no reward,
    `match` that the source is of another task, `log` that a log of the target is at hand.
    `source_steps` are the control steps that the source's policy was trained for, None if unknown;
    `acts_on_context` says that its actor observes the context beside what a robot does.
    """
    has_reward, other_task = given.get("reward", True), given.get("match") is not None
    if acts_on_context:
        how = "searched by the returns of episodes" if has_reward else "identified from a log"
        reason = (
            f"the source's policy acts on the context, which the target does not show: it is {how}"
        )
        return Choice("universal", reason, {"context": "searched" if has_reward else "identified"})
    if other_task and not has_reward:
        reason = (
            "the source is of another task and the target gives no reward: the observation "
            "statistics are estimated in the target"
        )
        return Choice("statistics", reason)
    if given.get("log") is not None and not other_task:
        reason = (
            "a log of the target is at hand: a simulation is identified from it and from further "
            "steps, and the policy learns there"
        )
        return Choice("identify", reason)
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


def choose_for(source: Run, budget: int, given: Mapping[str, Any]) -> Choice:
    """The method for a run as the source: `choose` with what the run says of its policy."""
    recipe = source.config.parsed_recipe()
    trained = source.config.kind in ("pretrain", "foreign")
    return choose(
        budget,
        source.config.steps if trained else None,
        given,
        acts_on_context=recipe.privileged == "context" and recipe.privileged_actor,
    )
