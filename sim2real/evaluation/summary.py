"""The episodes of one domain in one line of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim2real.evaluation.rollout import Row, success_rate
from sim2real.evaluation.statistics import bootstrap


def summary(domain: str, rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Mean return with its 95 % interval, mean length in control steps, how many failed.

    And the success rate, where the task tells it.
    """
    totals = np.array([[row.total for row in rows]])
    rng = np.random.default_rng(seed)
    mean = bootstrap(lambda sample: sample.mean(axis=-1), [totals], rng)
    rate = success_rate(rows)
    return {
        "domain": domain,
        "mean_return": mean.value,
        "low": mean.low,
        "high": mean.high,
        "mean_length": sum(row.length for row in rows) / len(rows),
        "failed": sum(row.failed for row in rows),
        "unstable": sum(row.unstable for row in rows),
        **({} if rate is None else {"success": rate}),
    }
