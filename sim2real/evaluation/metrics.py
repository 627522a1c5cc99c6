"""Measures of a transfer: pure functions of returns, scores and learning curves.

A *score* is a return normalized in one domain, 0 for uniformly random actions and 1 for the oracle
of that domain. A *curve* is the score against the target steps used. The measures of a curve are
those of Taylor & Stone (2009), "Transfer learning for reinforcement learning domains: a survey",
JMLR 10, section 2: jump-start, time to threshold, total reward (here as the area under the curve,
divided by the steps), asymptotic performance; and negative transfer.

Scores and what is computed of them are estimates, which carry the uncertainty of whatever they
come from, the references included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim2real.evaluation.statistics import Estimate, Interval, share

Floats = NDArray[np.float64]


def score(returns: Estimate, random: Estimate, oracle: Estimate) -> Estimate:
    """(J - J_random) / (J_oracle - J_random), all three of the same domain.

    Raises ValueError unless the oracle is better than random actions, as nothing could be read
    from such a score.
    """
    if not oracle.value > random.value:
        raise ValueError(
            f"the oracle's return {oracle.value:g} is not above random, {random.value:g}"
        )
    return (returns - random) / (oracle - random)


def zero_shot_gap(source_score: Estimate, target_score: Estimate) -> Estimate:
    """Score in the source minus score in the target, before any adaptation."""
    return source_score - target_score


def gap_closed(source_score: Estimate, before: Estimate, after: Estimate) -> Interval:
    """The share of the zero-shot gap that adaptation closed: (after - before) / (source - before).

    `before` and `after` are scores in the target. 1: the policy is as good in the target as
    it was in the source; below 0: adaptation made it worse. NaN where there was no gap, or
    where the interval of the gap includes 0; `why` gives the reason.
    """
    return share(after - before, zero_shot_gap(source_score, before))


def jump_start(transferred: Estimate, scratch: Estimate) -> Estimate:
    """Score before the first target step minus that of an untrained policy."""
    return transferred - scratch


def time_to_threshold(steps: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Target steps until the curve first reaches `threshold`, linear between its points.

    `steps` and `scores` are (k,), the steps increasing. Infinity if it is never reached.
    """
    at, curve = _curve(steps, scores)
    reached = np.flatnonzero(curve >= threshold)
    if not len(reached):
        return float("inf")
    last = int(reached[0])
    if last == 0:
        return float(at[0])
    share = (threshold - curve[last - 1]) / (curve[last] - curve[last - 1])
    return float(at[last - 1] + share * (at[last] - at[last - 1]))


def area_under_curve(steps: ArrayLike, scores: ArrayLike) -> Any:
    """Mean score over the budget: the trapezoidal area divided by the steps it spans.

    `steps` is (k,), `scores` (..., k); the result has the leading shape. A curve of one point has
    the score of that point.
    """
    at, curve = _curve(steps, scores)
    span = at[-1] - at[0]
    return np.trapezoid(curve, at, axis=-1) / span if span > 0 else curve[..., -1]


def asymptote(steps: ArrayLike, scores: ArrayLike) -> Any:
    """Mean score of the points in the last fifth of the steps, the final point always included.

    `steps` is (k,), `scores` (..., k); the result has the leading shape.
    """
    at, curve = _curve(steps, scores)
    late = at >= at[-1] - 0.2 * (at[-1] - at[0])
    return curve[..., late].mean(axis=-1)


def _curve(steps: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Both as arrays, refused unless they fit and the steps increase."""
    at, curve = np.asarray(steps, dtype=float), np.asarray(scores, dtype=float)
    if at.ndim != 1 or not at.size or curve.shape[-1:] != at.shape:
        raise ValueError(f"steps {at.shape} and scores {curve.shape} are not one curve")
    if np.any(np.diff(at) <= 0):
        raise ValueError(f"the steps of a curve must increase, got {at.tolist()}")
    return at, curve
