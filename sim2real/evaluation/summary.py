"""The episodes of one policy in one domain, in one line of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim2real.evaluation.rollout import Row, by_domain, returns
from sim2real.evaluation.statistics import compare, interval, rate


def summary(domain: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Mean return, mean length in control steps, how many failed, how many became unstable.

    An unstable episode counts in the mean as `evaluation.unstable` defines; `mean_return` is None
    where all of them are. And the quality of the actions, and the success rate, where the task
    defines it. All 95 % intervals are those of this policy over episodes, exact binomial for rates:
    another training may differ. `low` and `high` are None below 3 episodes.
    """
    return {
        "domain": domain,
        **_mean_return(rows),
        "mean_length": sum(row.length for row in rows) / len(rows),
        "failed": sum(row.failed for row in rows),
        "failure_rate": sum(row.failed for row in rows) / len(rows),
        "failure_interval": _exact([row.failed for row in rows]),
        "unstable": sum(row.unstable for row in rows),
        "quality": mean_quality(rows),
        **_success([row.success for row in rows if row.success is not None]),
    }


def _mean_return(rows: Sequence[Row]) -> dict[str, float | None]:
    if _all_unstable(rows):
        return {"mean_return": None, "low": None, "high": None}
    mean = interval([returns(rows)]).plain()
    return {"mean_return": mean["value"], "low": mean["low"], "high": mean["high"]}


def summaries(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The summary of each domain, with its gap to the first: the return there minus here.

    Episodes are paired by their number: what the domains have in common is drawn alike. The
    interval is that of this policy, None below 3 episodes; `gap_to_first` is None for the first,
    and where all episodes of either domain are unstable.
    """
    groups = by_domain(rows)
    first = next(iter(groups.values()))
    return [
        summary(name, own) | {"gap_to_first": None if own is first else _gap(first, own)}
        for name, own in groups.items()
    ]


def _gap(first: Sequence[Row], own: Sequence[Row]) -> dict[str, Any] | None:
    if _all_unstable(first) or _all_unstable(own):
        return None
    found = compare([returns(first)], [returns(own)]).plain()
    return {name: found[name] for name in ("value", "low", "high")}


def _all_unstable(rows: Sequence[Row]) -> bool:
    return all(row.unstable for row in rows)


def mean_quality(rows: Sequence[Row]) -> dict[str, float]:
    """The mean of each measure of the actions; empty in a foreign environment."""
    names = rows[0].quality
    return {name: sum(row.quality[name] for row in rows) / len(rows) for name in names}


def _success(succeeded: Sequence[bool]) -> dict[str, Any]:
    if not succeeded:
        return {}
    return {"success": sum(succeeded) / len(succeeded), "success_interval": _exact(succeeded)}


def _exact(events: Sequence[bool]) -> list[float]:
    found = rate([sum(events)], len(events))
    return [found.low, found.high]
