"""The return of policies against values of one or two parameters, all worlds in one batch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError, unknown, whole_number
from sim2real.evaluation.bounds import LEVEL, bounds, exact_binomial, spread
from sim2real.evaluation.cases import Case, evaluate_cases
from sim2real.evaluation.policy_checks import require_contract
from sim2real.evaluation.rollout import Policy, Row
from sim2real.evaluation.statistics import FEWEST
from sim2real.evaluation.sweeps.axis import Axis, swept
from sim2real.evaluation.unstable import counted_returns
from sim2real.registry import load_task
from sim2real.task import Array, Task

Verdict = Literal["safe", "undecided", "unsafe"]
MEASURES = ("return", "success")
MOST_CASES = 1_000_000


@dataclass(frozen=True)
class Curve:
    """One policy at the points of a sweep.

    Shapes (points,): the `means` of the measure, with their 95 % intervals `lows` to `highs` over
    the episodes of this policy, exact binomial for the success; `failed`, the share of the episodes
    that failed; `unstable`, their number that became unstable. NaN where all of them did.
    """

    policy: str
    means: Array
    lows: Array
    highs: Array
    failed: Array
    unstable: NDArray[np.int64]

    def verdicts(self, threshold: float) -> list[Verdict]:
        """Whether the mean lies above a `threshold` at each point.

        Safe where the whole interval does, unsafe where none of it does, or there is no mean.
        """
        return [
            _verdict(low, high, threshold) for low, high in zip(self.lows, self.highs, strict=True)
        ]


@dataclass(frozen=True)
class Sweep:
    """The `curves` of policies at the `points`, one tuple of a value of each axis a point."""

    task: str
    domain: str
    measure: str
    axes: tuple[Axis, ...]
    episodes: int
    seed: int
    curves: tuple[Curve, ...]

    @property
    def points(self) -> list[tuple[float, ...]]:
        """The values of the axes at each point; the last axis changes first."""
        return list(itertools.product(*(one.values for one in self.axes)))

    def records(self, threshold: float | None = None) -> list[dict[str, Any]]:
        """One line for each policy and point; with a `threshold`, its verdict."""
        return [
            {
                "policy": curve.policy,
                **dict(zip((one.name for one in self.axes), point, strict=True)),
                "mean": _number(curve.means[k]),
                "low": _number(curve.lows[k]),
                "high": _number(curve.highs[k]),
                "failed": float(curve.failed[k]),
                "unstable": int(curve.unstable[k]),
                **({} if threshold is None else {"verdict": curve.verdicts(threshold)[k]}),
            }
            for curve in self.curves
            for k, point in enumerate(self.points)
        ]


def sweep(
    policies: Mapping[str, Policy],
    task: str | Task,
    axes: Sequence[Axis],
    *,
    domain: str | Domain = "nominal",
    measure: str = "return",
    episodes: int = 50,
    seed: int = 0,
    num_envs: int | None = None,
    deterministic: bool = True,
    threads: int = 0,
    accept_changes: bool = False,
) -> Sweep:
    """The mean return, or success, of each of the `policies` at every value of one or two `axes`.

    Everything else is as in `domain`. All points run the same episodes of one seed.
    Raises UserError for other numbers of axes, for fewer than 3 episodes, for a measure that the
    task does not define, and as `evaluate` does.
    """
    if not 1 <= len(axes) <= 2:
        raise UserError(f"a sweep has one or two parameters, got {len(axes)}")
    if measure not in MEASURES:
        raise unknown("measure", measure, MEASURES)
    loaded = load_task(task)
    wide = swept(load_domain(loaded, domain), axes)
    points = list(itertools.product(*(one.values for one in axes)))
    whole_number("episodes", episodes, FEWEST, MOST_CASES // len(points))
    for policy in policies.values():
        require_contract(policy, loaded, accept_changes)
    base = load_domain(loaded, domain)
    given = [_given(axes, point, base) for point in points]
    cases = [Case(k, one) for one in given for k in range(episodes)]
    curves = []
    for name, policy in policies.items():
        rows = evaluate_cases(
            policy,
            loaded,
            wide,
            cases,
            seed=seed,
            num_envs=num_envs,
            deterministic=deterministic,
            threads=threads,
        )
        groups = [rows[first : first + episodes] for first in range(0, len(rows), episodes)]
        curves.append(_curve(name, measure, groups))
    return Sweep(loaded.reference, base.name, measure, tuple(axes), episodes, seed, tuple(curves))


def _given(axes: Sequence[Axis], point: Sequence[float], domain: Domain) -> dict[str, float]:
    return {
        name: number
        for one, value in zip(axes, point, strict=True)
        for name, number in one.given(value, domain).items()
    }


def _curve(name: str, measure: str, groups: Sequence[Sequence[Row]]) -> Curve:
    found = [_successes(rows) if measure == "success" else _returns(rows) for rows in groups]
    means, lows, highs = np.array(found).T
    return Curve(
        policy=name,
        means=means,
        lows=lows,
        highs=highs,
        failed=np.array([np.mean([row.failed for row in rows]) for rows in groups]),
        unstable=np.array([sum(row.unstable for row in rows) for rows in groups]),
    )


def _returns(rows: Sequence[Row]) -> tuple[float, float, float]:
    values = counted_returns([row.total for row in rows], [row.unstable for row in rows])
    if np.isnan(values).any():
        return (np.nan,) * 3
    low, high = bounds(values.mean(), spread([values]))
    return float(values.mean()), float(low), float(high)


def _successes(rows: Sequence[Row]) -> tuple[float, float, float]:
    known = [row.success for row in rows if row.success is not None]
    if len(known) < len(rows):
        raise UserError("the task does not define a success; allowed measures: return")
    mean = float(np.mean(known))
    low, high = exact_binomial(mean, float(len(known)), LEVEL)
    return mean, float(low), float(high)


def _verdict(low: float, high: float, threshold: float) -> Verdict:
    if low >= threshold:
        return "safe"
    return "undecided" if high >= threshold else "unsafe"


def safe_ranges(values: Sequence[float], verdicts: Sequence[Verdict]) -> list[tuple[float, float]]:
    """The ranges of neighbouring values that are all safe, (first, last) each.

    >>> safe_ranges([1.0, 2.0, 3.0, 4.0], ["safe", "safe", "unsafe", "safe"])
    [(1.0, 2.0), (4.0, 4.0)]
    """
    runs = itertools.groupby(zip(values, verdicts, strict=True), key=lambda pair: pair[1])
    groups = [[value for value, _ in pairs] for verdict, pairs in runs if verdict == "safe"]
    return [(group[0], group[-1]) for group in groups]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
