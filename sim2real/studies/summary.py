"""From the results of a study's cells to the numbers of its report; pure functions.

Returns become scores with the references of their own domain: `random` is 0 everywhere; 1 is the
oracle in a target, and in the source the pretrained policies themselves, which were trained there
without a budget. The chance in the references is part of every interval. What comes from the same
seed is paired: the pretrained policy in the source and the targets, and all methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError
from sim2real.evaluation import metrics
from sim2real.evaluation.statistics import (
    Comparison,
    Estimate,
    holm,
    mean_of,
    of_seeds,
    of_units,
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
    """Everything measured in one target; `oracle` and `zero_shot` are (seeds, episodes)."""

    random: Floats
    oracle: Floats
    zero_shot: Floats
    methods: Mapping[str, Measured]


@dataclass(frozen=True)
class Results:
    """Everything measured in a study; `source` is (seeds, episodes), `random` (episodes,)."""

    source_random: Floats
    source: Floats
    targets: Mapping[str, Target] = field(default_factory=dict)


@dataclass(frozen=True)
class _Scale:
    """What turns the returns of one domain into scores."""

    random: Estimate
    oracle: Estimate

    def score(self, returns: Floats) -> Estimate:
        """The score of returns, (seeds, episodes)."""
        return metrics.score(of_seeds("seeds", returns), self.random, self.oracle)


def summarize(results: Results) -> dict[str, Any]:
    """All numbers of the report, as JSON."""
    scales = {name: _scale(name, target) for name, target in results.targets.items()}
    home = of_seeds("seeds", results.source)
    targets = {
        name: _target(target, scales[name], home_score=home / home)
        for name, target in results.targets.items()
    }
    _against_scratch(results, scales, targets)
    return {
        "source": {
            "random_return": float(results.source_random.mean()),
            "pretrained_return": home.value,
            "return": home.interval().plain(),
        },
        "targets": targets,
        "overall": _overall(results, scales),
    }


def _target(target: Target, scale: _Scale, home_score: Estimate) -> dict[str, Any]:
    before = scale.score(target.zero_shot)
    gap = metrics.zero_shot_gap(home_score, before)
    threshold = scale.score(target.methods[SCRATCH].returns[:, -1]).value
    return {
        "random_return": scale.random.value,
        "oracle_return": scale.oracle.value,
        "zero_shot_return": float(target.zero_shot.mean()),
        "zero_shot_score": before.interval().plain(),
        "zero_shot_gap": gap.interval().plain(),
        "threshold": threshold,
        "methods": {
            label: _method(method, scale, home_score, before, threshold)
            for label, method in target.methods.items()
        },
    }


def _method(
    method: Measured, scale: _Scale, home: Estimate, before: Estimate, threshold: float
) -> dict[str, Any]:
    """One method in one target; `home` and `before` are the scores of the source and zero-shot."""
    steps = method.steps
    curve = [scale.score(method.returns[:, point]) for point in range(len(steps))]
    points = [estimate.interval() for estimate in curve]
    scores = [point.value for point in points]
    by_point = np.moveaxis(method.returns, 1, -1)  # (seeds, episodes, points)
    area = scale.score(metrics.area_under_curve(steps, by_point))
    reached = metrics.time_to_threshold(steps, scores, threshold)
    return {
        "return_after": float(method.returns[:, -1].mean()),
        "score_before": points[0].plain(),
        "score_after": points[-1].plain(),
        "gap_closed": metrics.gap_closed(home, before, curve[-1]).plain(),
        "area": area.interval().plain(),
        "asymptote": float(metrics.asymptote(steps, scores)),
        "steps_to_threshold": reached if math.isfinite(reached) else None,
        "curve": {
            "steps": list(steps),
            "score": scores,
            "low": [point.plain()["low"] for point in points],
            "high": [point.plain()["high"] for point in points],
            "values": [list(point.values) for point in points],
        },
        "used": _mean_use(method.used),
    }


def _against_scratch(
    results: Results, scales: Mapping[str, _Scale], targets: dict[str, Any]
) -> None:
    """Enter what the source was worth: against learning in the target alone, at the same steps.

    The verdicts are corrected for all comparisons of the report.
    """
    differences: dict[tuple[str, str], Comparison] = {}
    for name, target in results.targets.items():
        score, scratch = scales[name].score, target.methods[SCRATCH].returns
        start, end = score(scratch[:, 0]), score(scratch[:, -1])
        for label, method in target.methods.items():
            if label == SCRATCH:
                continue
            first, last = score(method.returns[:, 0]), score(method.returns[:, -1])
            differences[name, label] = (last - end).comparison()
            targets[name]["methods"][label] |= {
                "jump_start": metrics.jump_start(first, start).interval().plain(),
                "negative_transfer": metrics.negative_transfer(last, end),
            }
    for (name, label), one in zip(differences, holm(differences.values()), strict=True):
        targets[name]["methods"][label] |= {"difference": one.plain(), "verdict": one.verdict}


def _overall(results: Results, scales: Mapping[str, _Scale]) -> dict[str, Any]:
    """The score after the budget, the mean over all targets."""
    labels = next(iter(results.targets.values())).methods
    return {
        label: mean_of(
            [
                scales[name].score(target.methods[label].returns[:, -1])
                for name, target in results.targets.items()
            ]
        )
        .interval()
        .plain()
        for label in labels
    }


def check_references(domain: str, random: Floats, oracle: Floats) -> None:
    """Raise UserError unless the oracle is better than random actions, so that scores exist.

    `random` is (episodes,), `oracle` (seeds, episodes).
    """
    scale = _Scale(of_units("random", random), of_seeds("oracle", oracle))
    try:
        scale.score(oracle)
    except ValueError as error:
        raise UserError(f"{domain}: {error}; train it for more steps") from None


def _scale(name: str, target: Target) -> _Scale:
    check_references(name, target.random, target.oracle)
    random = of_units(f"random/{name}", target.random)
    return _Scale(random, of_seeds(f"oracle/{name}", target.oracle))


def _mean_use(used: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = used[0] if used else ()
    return {name: float(np.mean([one[name] for one in used])) for name in names}
