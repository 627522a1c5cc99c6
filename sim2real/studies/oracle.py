"""The oracle of a domain: how it is chosen, whether it converged, when it is unsound.

An oracle is trained in the domain itself without a budget, in several ways and with several seeds.
The best policy of each training, by its learning curve, counts. The way is chosen by the returns of
these policies on the episodes of the curve. Its return is measured on other episodes and over all
its seeds, so that it is not biased by the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.evaluation import metrics
from sim2real.evaluation.statistics import Estimate, interval, of_seeds, of_units
from sim2real.studies.report.formats import label

Floats = NDArray[np.float64]
Quality = tuple[Mapping[str, float], ...]
"""The mean measures of the actions, a mapping a seed; empty where they were not measured."""

FLAT = 0.05
"""Largest change between the last two fifths of a flat curve, as a share of what was learned."""
BEYOND = 0.05
"""Score above 1 from which the zero-shot policy counts as better than the oracle."""
FAR = 0.25
"""Distance of a score from [0, 1] beyond which the references are unsound."""


_SHAPES = {
    "rising": "was still rising at its end: a longer training reaches more, scores are too high",
    "falling": "was falling at its end: its training was not stable",
    "unknown": "has too few points to show whether it had converged",
}


@dataclass(frozen=True)
class Curve:
    """A learning curve: control steps (points,), mean returns (seeds, points)."""

    steps: tuple[int, ...]
    returns: Floats

    @property
    def best(self) -> float:
        """The mean over the seeds of the return of the best policy of each."""
        return float(self.returns.max(axis=1).mean())

    def shape(self, random: float) -> str:
        """flat, rising, falling or unknown: the last fifth against the fifth before it.

        What was learned is the difference from the return of random actions.
        """
        at, mean = np.asarray(self.steps, float), self.returns.mean(axis=0)
        last, before = (
            mean[(at > part * at[-1]) & (at <= (part + 0.2) * at[-1])] for part in (0.8, 0.6)
        )
        if not (len(last) and len(before)):
            return "unknown"
        rise = float(last.mean() - before.mean())
        if abs(rise) <= FLAT * abs(float(last.mean()) - random):
            return "flat"
        return "rising" if rise > 0 else "falling"

    def plain(self, random: float) -> dict[str, Any]:
        """As JSON, with every seed."""
        return {
            "steps": list(self.steps),
            "mean": self.returns.mean(axis=0).tolist(),
            "seeds": self.returns.tolist(),
            "shape": self.shape(random),
        }


@dataclass(frozen=True)
class Trained:
    """One way to train the oracle of a domain.

    `returns` (seeds, episodes) are what the best policies of the curve reach on other episodes,
    `quality` how they act there (see `evaluation.action_quality`), a mapping a seed.
    """

    returns: Floats
    curve: Curve
    quality: Quality = ()


@dataclass(frozen=True)
class DomainReferences:
    """The measurements in one domain before any method ran.

    `random` is (episodes,), `zero_shot` (seeds, episodes), `quality` how that policy acts. Domains
    of one `content` share their references, whatever their names.
    """

    random: Floats
    oracles: Mapping[str, Trained]
    zero_shot: Floats
    content: str
    quality: Quality = ()

    @property
    def way(self) -> str:
        """The way of training that is the oracle: its policies were the best on their curves."""
        return max(self.oracles, key=lambda way: self.oracles[way].curve.best)

    @property
    def scale(self) -> Scale:
        """The scale that turns returns of this domain into scores."""
        return Scale(
            of_units(f"random {self.content}", self.random),
            of_seeds(f"oracle seeds {self.content}", self.oracles[self.way].returns),
        )

    def problems(self) -> list[str]:
        """Why scores of this domain cannot be trusted; empty if they can."""
        scale, found = self.scale, []
        if len(self.oracles[self.way].returns) == 1:
            found.append(
                "the oracle has a single seed: how far others would come is unknown, and the "
                "scores would have no interval (oracle: {seeds: 3})"
            )
        if scale.oracle.value <= scale.random.value:
            return [
                *found,
                f"the oracle, {scale.oracle.value:,.0f}, does not beat random actions, "
                f"{scale.random.value:,.0f}: there is no score; train it for more steps",
            ]
        zero_shot = scale.score(of_seeds("seeds", self.zero_shot)).value
        if zero_shot <= 1 + BEYOND:
            return found
        return [
            *found,
            f"the oracle, {scale.oracle.value:,.0f}, does not beat the untouched source policy, "
            f"{self.zero_shot.mean():,.0f}, whose score would be {zero_shot:.2f}; train it for "
            "more steps",
        ]

    def hints(self) -> list[str]:
        """Notes on references that can be used."""
        trained, random = self.oracles[self.way], float(self.random.mean())
        shape = trained.curve.shape(random)
        learned = [bool(mean > random) for mean in trained.returns.mean(axis=1)]
        found = [] if shape == "flat" else [f"the learning curve of the oracle {_SHAPES[shape]}"]
        if all(learned):
            return found
        failed = f"{len(learned) - sum(learned)} of {len(learned)}"
        return [*found, f"{failed} seeds of the oracle do not beat random actions"]

    def plain(self) -> dict[str, Any]:
        """The references as JSON."""
        random = float(self.random.mean())
        return {
            "random": interval(self.random[None]).plain(),
            "way": self.way,
            "ways": {
                way: {
                    "return": interval(trained.returns).plain(),
                    "curve": trained.curve.plain(random),
                }
                for way, trained in self.oracles.items()
            },
        }


@dataclass(frozen=True)
class Scale:
    """The references of a domain, with their uncertainty."""

    random: Estimate
    oracle: Estimate

    def score(self, returns: Estimate) -> Estimate:
        """(J - J_random) / (J_oracle - J_random)."""
        return metrics.score(returns, self.random, self.oracle)


def far_above(scores: Mapping[str, float]) -> list[str]:
    """The problem of scores far above 1: the oracle is not what can be reached."""
    found = {name: score for name, score in scores.items() if score > 1 + FAR}
    if not found:
        return []
    return [
        f"{_scores_of(found)} far above 1: the oracle is not the best that this domain allows; "
        "train it for more steps"
    ]


def far_below(scores: Mapping[str, float]) -> list[str]:
    """A hint on scores far below 0; the target still counts, so that no failure is hidden."""
    found = {name: score for name, score in scores.items() if score < -FAR}
    return [f"{_scores_of(found)} far below 0: worse than random actions"] if found else []


def _scores_of(scores: Mapping[str, float]) -> str:
    """`the score of scratch is 1.40,`; of several, `the scores of scratch (1.40) and ... are`."""
    if len(scores) == 1:
        ((name, score),) = scores.items()
        return f"the score of {label(name)} is {score:.2f},"
    *first, last = [f"{label(name)} ({score:.2f})" for name, score in scores.items()]
    return f"the scores of {', '.join(first)} and {last} are"
