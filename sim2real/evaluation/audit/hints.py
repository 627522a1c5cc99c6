"""Advice on a sound domain that is hard for the policy of a task."""

from __future__ import annotations

from collections.abc import Iterator

from sim2real.domains import Domain
from sim2real.task import Task

_ROUNDING = 1e-9


def hints(task: Task, domain: Domain) -> Iterator[str]:
    """Advice about what the policy of `task` observes, for what `domain` does to its signals."""
    late = _longest_delay(domain)
    steps = (late + _ROUNDING) / task.control_dt
    if steps >= 1 and not task.history and not task.commanded:
        yield (
            f"commands and observations are up to {late:g} s late, {steps:.3g} control steps of "
            f"{task.control_dt:g} s, and the policy observes neither a history nor its last "
            "actions: it cannot know which commands have not arrived yet; give the task a "
            "`history`, or its last action as a `commanded` term"
        )


def _longest_delay(domain: Domain) -> float:
    """The longest time from a state to the force that depends on it, s."""
    commands = max((entry.longest for entry in domain.actuation), default=0.0)
    sensing = [one.longest for one in domain.sensing if one.kind.name != "reward_delay"]
    return float(commands + max(sensing, default=0.0))
