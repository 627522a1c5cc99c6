"""The episodes of one policy in one domain, in one line of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim2real.evaluation.rollout import Row, success_rate
from sim2real.evaluation.statistics import interval


def summary(domain: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Mean return, mean length in control steps, how many failed, what was unstable.

    `low` and `high` are the 95 % interval of this policy over episodes: it says nothing of another
    training. None below 3 episodes. And the success rate, where the task tells it.
    """
    mean = interval([[row.total for row in rows]]).plain()
    rate = success_rate(rows)
    return {
        "domain": domain,
        "mean_return": mean["value"],
        "low": mean["low"],
        "high": mean["high"],
        "mean_length": sum(row.length for row in rows) / len(rows),
        "failed": sum(row.failed for row in rows),
        "unstable": sum(row.unstable for row in rows),
        **({} if rate is None else {"success": rate}),
    }
