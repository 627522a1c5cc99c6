"""The measurements of each method in a target, and the table of measures of a report.

A new measure is one function and one entry of `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim2real.evaluation import metrics
from sim2real.evaluation.statistics import Estimate, of_seeds
from sim2real.studies.config import SCRATCH
from sim2real.studies.oracle import DomainReferences, Quality

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A method in a target: a curve a seed, what was used, the return in the source afterwards.

    `returns` is (seeds, points, episodes), `steps` (points,): target steps at each evaluation;
    `home` (seeds, episodes) are the returns of the last policy in the source, `quality` is how it
    acts in the target.
    """

    steps: tuple[int, ...]
    returns: Floats
    home: Floats
    used: tuple[Mapping[str, float], ...] = ()
    quality: Quality = ()

    def at(self, point: int) -> Estimate:
        """The mean return at a point of the curve: 0 before the transfer, -1 after the budget."""
        return of_seeds("seeds", self.returns[:, point])

    def of_curve(self, measure: Callable[[ArrayLike, ArrayLike], Any]) -> Estimate:
        """The result of `measure(steps, curves)` for the curve of each episode, (..., points)."""
        return of_seeds("seeds", measure(self.steps, np.moveaxis(self.returns, 1, -1)))


@dataclass(frozen=True)
class TargetResults:
    """Everything measured in one target."""

    references: DomainReferences
    methods: Mapping[str, Measured]

    @property
    def scratch(self) -> Measured:
        """Learning from scratch, on the same budget."""
        return self.methods[SCRATCH]


@dataclass(frozen=True)
class Measure:
    """A measure of a method in a target, a column in every report of a study.

    `of(method, target)` gives an estimate, or a number without interval; an infinite number is
    shown as "never". With `of_scratch` False it is not computed of learning from scratch. One that
    is a return has a score too, under the key `score` in `report.json`.
    """

    of: Callable[[Measured, TargetResults], Estimate | float]
    heading: str
    meaning: str
    of_scratch: bool = True
    score: str = ""


def jump_start(method: Measured, target: TargetResults) -> Estimate:
    """The return before the first target step minus that of an untrained policy."""
    return metrics.jump_start(method.at(0), target.scratch.at(0))


def steps_to_match_scratch(method: Measured, target: TargetResults) -> float:
    """Target steps until the mean curve reaches the return of scratch after its budget."""
    means = [method.at(point).value for point in range(len(method.steps))]
    return metrics.time_to_threshold(
        method.steps, means, float(target.scratch.returns[:, -1].mean())
    )


def negative_transfer(method: Measured, target: TargetResults) -> float:
    """How far the return after the budget stays below that of scratch."""
    return max(0.0, -(method.at(-1) - target.scratch.at(-1)).value)


MEASURES = {
    "jump_start": Measure(
        jump_start,
        "Jump-start",
        "How much better it starts than an untrained policy does, in returns.",
        of_scratch=False,
    ),
    "area_return": Measure(
        lambda method, _: method.of_curve(metrics.area_under_curve),
        "Mean over the budget",
        "The area under the curve divided by the budget: the mean return while learning.",
        score="area",
    ),
    "asymptote_return": Measure(
        lambda method, _: method.of_curve(metrics.asymptote),
        "Asymptote",
        "The mean return over the last fifth of the budget.",
        score="asymptote",
    ),
    "steps_to_threshold": Measure(
        steps_to_match_scratch,
        "Steps to match scratch",
        "Target steps after which it is as good as learning from scratch is after the whole "
        "budget.",
        of_scratch=False,
    ),
    "negative_transfer": Measure(
        negative_transfer,
        "Negative transfer",
        "How far it stays behind learning from scratch, each after its budget; 0 where it does "
        "not.",
        of_scratch=False,
    ),
}
"""The measures by their keys in `report.json`, in the order of the columns."""
