"""From the results of a study's cells to the numbers of its report; pure functions.

Returns become scores with the references of their own domain: `random` is 0 everywhere; 1 is the
oracle in a target, and in the source the pretrained policies themselves, which were trained there
without a budget. The references count as exact; the intervals are those of seeds and episodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError
from sim2real.evaluation import metrics
from sim2real.evaluation.statistics import (
    Interval,
    bootstrap,
    paired_difference,
    stratified_bootstrap,
)
from sim2real.studies.config import SCRATCH

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A method in a target: the curve of every seed, and what was used of the budget.

    `returns` is (seeds, points, episodes), `steps` (points,): target steps at each evaluation.
    """

    steps: tuple[int, ...]
    returns: Floats
    used: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True)
class Target:
    """Everything measured in one target; `zero_shot` is (seeds, episodes)."""

    random: Floats
    oracle: Floats
    zero_shot: Floats
    methods: Mapping[str, Measured]


@dataclass(frozen=True)
class Results:
    """Everything measured in a study; `source` is (seeds, episodes), the references (episodes,)."""

    source_random: Floats
    source: Floats
    targets: Mapping[str, Target] = field(default_factory=dict)


def summarize(results: Results, seed: int = 0) -> dict[str, Any]:
    """All numbers of the report, as JSON; the same for the same results and `seed`."""
    rng = np.random.default_rng(seed)
    at_home = _score("the source", results.source, results.source_random, results.source)
    targets = {
        name: _target(name, target, at_home, rng) for name, target in results.targets.items()
    }
    return {
        "source": {
            "random_return": float(results.source_random.mean()),
            "pretrained_return": float(results.source.mean()),
            "score": _plain(stratified_bootstrap([at_home], rng)),
        },
        "targets": targets,
        "overall": _overall(results, rng),
    }


def _target(name: str, target: Target, at_home: Floats, rng: np.random.Generator) -> dict[str, Any]:
    before = _score(name, target.zero_shot, target.random, target.oracle)
    curves = {
        label: _score(name, method.returns, target.random, target.oracle)
        for label, method in target.methods.items()
    }
    gap = bootstrap(
        lambda home, here: metrics.zero_shot_gap(home.mean(-1), here.mean(-1)),
        [at_home, before],
        rng,
    )
    threshold = float(curves[SCRATCH][:, -1].mean())
    return {
        "random_return": float(target.random.mean()),
        "oracle_return": float(target.oracle.mean()),
        "zero_shot_return": float(target.zero_shot.mean()),
        "zero_shot_score": _plain(stratified_bootstrap([before], rng)),
        "zero_shot_gap": _plain(gap),
        "threshold": threshold,
        "methods": {
            label: _method(method, curves[label], at_home, before, threshold, rng)
            | ({} if label == SCRATCH else _against_scratch(curves[label], curves[SCRATCH], rng))
            for label, method in target.methods.items()
        },
    }


def _method(
    method: Measured,
    curve: Floats,
    at_home: Floats,
    before: Floats,
    threshold: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """One method in one target; `curve` is (seeds, points, episodes) of scores."""
    after, steps = curve[:, -1], method.steps
    by_point = np.moveaxis(curve, 1, -1)  # (seeds, episodes, points)
    closed = bootstrap(
        lambda home, old, new: metrics.gap_closed(home.mean(-1), old.mean(-1), new.mean(-1)),
        [at_home, before, after],
        rng,
    )
    points = [stratified_bootstrap([curve[:, point]], rng) for point in range(len(steps))]
    area = stratified_bootstrap([metrics.area_under_curve(steps, by_point)], rng)
    reached = metrics.time_to_threshold(steps, curve.mean(axis=(0, 2)), threshold)
    return {
        "return_after": float(method.returns[:, -1].mean()),
        "score_before": _plain(points[0]),
        "score_after": _plain(points[-1]),
        "gap_closed": _plain(closed),
        "area": _plain(area),
        "asymptote": float(metrics.asymptote(steps, curve.mean(axis=(0, 2)))),
        "steps_to_threshold": reached if math.isfinite(reached) else None,
        "curve": {
            "steps": list(steps),
            "score": [point.value for point in points],
            "low": [point.low for point in points],
            "high": [point.high for point in points],
        },
        "used": _mean_use(method.used),
    }


def _against_scratch(curve: Floats, scratch: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """What the source was worth: against learning in the target alone, at the same steps."""
    difference = paired_difference(curve[:, -1], scratch[:, -1], rng)
    jump = paired_difference(curve[:, 0], scratch[:, 0], rng)
    behind = metrics.negative_transfer(curve[:, -1].mean(), scratch[:, -1].mean())
    return {
        "jump_start": _plain(jump),
        "difference": _plain(difference),
        "negative_transfer": float(behind),
        "verdict": _verdict(difference),
    }


def _overall(results: Results, rng: np.random.Generator) -> dict[str, Any]:
    """The score after the budget over all targets, each target a stratum."""
    labels = next(iter(results.targets.values())).methods
    overall = {}
    for label in labels:
        strata = [
            _score(name, target.methods[label].returns[:, -1], target.random, target.oracle)
            for name, target in results.targets.items()
        ]
        overall[label] = _plain(stratified_bootstrap(strata, rng))
    return overall


def check_references(domain: str, random: Floats, oracle: Floats) -> None:
    """Raise UserError unless the oracle is better than random actions, so that scores exist."""
    _score(domain, oracle, random, oracle)


def _score(domain: str, totals: Floats, random: Floats, oracle: Floats) -> Floats:
    try:
        scores: Floats = metrics.score(totals, float(random.mean()), float(oracle.mean()))
    except ValueError as error:
        raise UserError(f"{domain}: {error}; train it for more steps") from None
    return scores


def _verdict(difference: Interval) -> str:
    """The paired difference in a word."""
    if not difference.excludes_zero:
        return "undecided"
    return "ahead" if difference.value > 0 else "behind"


def _mean_use(used: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = used[0] if used else ()
    return {name: float(np.mean([one[name] for one in used])) for name in names}


def _plain(interval: Interval) -> dict[str, Any]:
    """An interval as JSON, which has no NaN."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(interval).items()
    }
