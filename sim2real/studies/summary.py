"""From the results of a study's cells to the numbers of its report; pure functions.

Returns become scores with the references of their own domain, source and targets alike: `random`
is 0 and the oracle is 1. The uncertainty of the references is part of every score's interval. What
comes from the same seed is paired: the pretrained policy in the source and the targets, and all
methods. Differences between methods are of returns, so they need no references; the verdicts of
one table are corrected for their number (Holm).

A target whose references are unsound (see `DomainReferences.problems`) has no scores in the report.
It does not count in the results over all targets; neither does a control, the source as a target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.evaluation import metrics
from sim2real.evaluation.statistics import (
    Comparison,
    Estimate,
    Interval,
    compare,
    holm,
    interval,
    mean_of,
    of_seeds,
    rate,
)
from sim2real.studies.config import PLAIN, SCRATCH
from sim2real.studies.measures import MEASURES, Measured, TargetResults
from sim2real.studies.oracle import Curve, DomainReferences, Scale, far_above, far_below

Floats = NDArray[np.float64]
Plain = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """Everything measured in a study; `pretraining` are the source's learning curves, if any."""

    source: DomainReferences
    targets: Mapping[str, TargetResults] = field(default_factory=dict)
    pretraining: Curve | None = None


def summarize(results: Results) -> Plain:
    """All numbers of the report, as JSON."""
    source = results.source
    home = None if source.problems() else source.scale.score(of_seeds("seeds", source.zero_shot))
    targets = {name: _target(target, source, home) for name, target in results.targets.items()}
    unsound = [name for name, target in targets.items() if target["problems"]]
    controls = [
        name for name, one in results.targets.items() if one.references.content == source.content
    ]
    counted = [name for name in targets if name not in unsound + controls]
    random = float(source.random.mean())
    return {
        "source": {
            "return": interval(source.zero_shot).plain(),
            "score": _plain(home),
            "references": source.plain(),
            "problems": source.problems(),
            "hints": source.hints(),
            "pretraining": results.pretraining and results.pretraining.plain(random),
        },
        "targets": targets,
        "left_out": unsound,
        "controls": controls,
        "counted": counted,
        "overall": _overall(results, counted),
    }


def _target(target: TargetResults, source: DomainReferences, home: Estimate | None) -> Plain:
    problems = target.references.problems()
    scores = {} if problems else _scores(target)
    problems = problems or far_above(scores)
    scale = None if problems else target.references.scale
    zero_shot = of_seeds("seeds", target.references.zero_shot)
    before = None if scale is None else scale.score(zero_shot)
    gap = metrics.zero_shot_gap(home, before) if home is not None and before is not None else None
    methods = {label: _method(label, target, scale, home, before) for label in target.methods}
    _compare(target, methods)
    _enter_forgotten(target, source, methods)
    return {
        "problems": problems,
        "hints": target.references.hints() + far_below(scores),
        "references": target.references.plain(),
        "zero_shot": {"return": zero_shot.interval().plain(), "score": _plain(before)},
        "zero_shot_gap": _plain(gap),
        "methods": methods,
        "comparisons": _counts(methods),
        "quality": _quality(target),
    }


def _scores(target: TargetResults) -> dict[str, float]:
    """The score of the untouched policy and of each method after the budget."""
    after = {label: method.returns[:, -1] for label, method in target.methods.items()}
    return {
        name: target.references.scale.score(of_seeds("seeds", returns)).value
        for name, returns in {"zero-shot": target.references.zero_shot, **after}.items()
    }


def _method(
    label: str,
    target: TargetResults,
    scale: Scale | None,
    home: Estimate | None,
    before: Estimate | None,
) -> Plain:
    """One method in one target; scores are None without a `scale`."""
    method = target.methods[label]
    points = [method.at(point).interval().plain() for point in range(len(method.steps))]
    measured = {
        name: measure.of(method, target) if measure.of_scratch or label != SCRATCH else None
        for name, measure in MEASURES.items()
    }
    returns = {"score_before": method.at(0), "score_after": method.at(-1)} | {
        measure.score: found
        for measure, found in zip(MEASURES.values(), measured.values(), strict=True)
        if measure.score and isinstance(found, Estimate)
    }
    closed: Interval | None = None
    if scale is not None and home is not None and before is not None:
        closed = metrics.gap_closed(home, before, scale.score(method.at(-1)))
    return {
        "return_before": points[0],
        "return_after": points[-1],
        **{name: _plain(found) for name, found in measured.items()},
        **{
            name: _plain(None if scale is None else scale.score(found))
            for name, found in returns.items()
        },
        "gap_closed": closed and closed.plain(),
        "curve": {"steps": list(method.steps), "points": points},
        "used": means(method.used),
    }


def _compare(target: TargetResults, methods: dict[str, Plain]) -> None:
    """Enter how each method differs from the untouched policy, plain fine-tuning and scratch.

    These are differences of returns after the budget, paired by seed; their verdicts are corrected
    for all of this target.
    """
    pairs: dict[tuple[str, str], Comparison] = {}
    for label, method in target.methods.items():
        others = {"zero_shot": target.references.zero_shot} | {
            other: target.methods[other].returns[:, -1]
            for other in (PLAIN, SCRATCH)
            if other in target.methods and other != label
        }
        if label == SCRATCH:
            others = {}
        for other, returns in others.items():
            pairs[label, other] = compare(method.returns[:, -1], returns)
        methods[label] |= {
            "against": {},
            "improved": _improved(method, target.references.zero_shot),
            "forgotten": None,
        }
    for (label, other), one in zip(pairs, holm(pairs.values()), strict=True):
        methods[label]["against"][other] = one.plain()


def _counts(methods: Mapping[str, Plain]) -> dict[str, int]:
    """How many comparisons each table makes that have a verdict."""
    against = [one for method in methods.values() for one in method["against"].values()]
    home = [method["forgotten"] for method in methods.values() if method["forgotten"]]
    return {
        name: sum(one["p"] is not None for one in found)
        for name, found in {"returns": against, "home": home}.items()
    }


def _improved(method: Measured, zero_shot: Floats) -> Plain:
    """The part of the seeds whose policy is better after the budget than the untouched one.

    With the exact binomial interval: the probability that a transfer of another seed improves.
    """
    better = int((method.returns[:, -1].mean(axis=1) > zero_shot.mean(axis=1)).sum())
    seeds = len(zero_shot)
    return replace(rate([better], seeds), seeds=seeds, values=(), about="seeds").plain()


def _enter_forgotten(
    target: TargetResults, source: DomainReferences, methods: dict[str, Plain]
) -> None:
    """Enter the returns in the source after the transfer, against those before.

    Corrected for all methods of this target but scratch, which never knew the source.
    """
    lost = {
        label: compare(method.home, source.zero_shot)
        for label, method in target.methods.items()
        if label != SCRATCH
    }
    for label, method in target.methods.items():
        methods[label]["home"] = interval(method.home).plain()
    for label, one in zip(lost, holm(lost.values()), strict=True):
        methods[label]["forgotten"] = one.plain()


def _overall(results: Results, counted: Sequence[str]) -> Plain:
    """The score after the budget, the mean over the targets that count."""
    labels = next(iter(results.targets.values())).methods if counted else ()
    return {
        label: _plain(
            mean_of(
                [
                    results.targets[name].references.scale.score(
                        of_seeds("seeds", results.targets[name].methods[label].returns[:, -1])
                    )
                    for name in counted
                ]
            )
        )
        for label in labels
    }


def _plain(found: Estimate | float | None) -> Any:
    """As JSON, where an infinite number is None."""
    if isinstance(found, Estimate):
        return found.interval().plain()
    return found if found is not None and math.isfinite(found) else None


def _quality(target: TargetResults) -> dict[str, dict[str, float]]:
    """How each policy acts, the mean of the seeds; without those for which it is not known."""
    references = target.references
    known = {
        "zero-shot": references.quality,
        **{label: method.quality for label, method in target.methods.items()},
        "oracle": references.oracles[references.way].quality,
    }
    return {name: means(seeds) for name, seeds in known.items() if seeds}


def means(seeds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over the seeds."""
    names = seeds[0] if seeds else ()
    return {name: float(np.mean([one[name] for one in seeds])) for name in names}
