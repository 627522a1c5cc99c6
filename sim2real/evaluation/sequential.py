"""Comparisons that stop as soon as they are decided, without more false verdicts.

If a growing sample is tested several times, and the comparison stops at the first p below 5 %,
equal policies are called different in far more than 5 % of all cases. So the 5 % are divided among
the tests (looks), after Lan & DeMets (1983), "Discrete sequential boundaries for clinical trials",
Biometrika 70. At the share t of the whole sample, alpha(t) = 4 (1 - Phi(z / sqrt(t))) of a total
alpha may be spent, with Phi(z) = 1 - alpha / 4. This spends little at first, as the boundaries of
O'Brien & Fleming (1979) do, so the last look is hardly stricter than a single test. The boundaries
are computed by numerical integration of the density of the sum of all looks that went on (Armitage,
McPherson & Rowe 1969, "Repeated significance tests on accumulating data", J. R. Stat. Soc. A 132).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from sim2real.config import MOST_EPISODES
from sim2real.domains import Domain
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.bounds import LEVEL, Floats
from sim2real.evaluation.rollout import Policy, Row, evaluate, returns
from sim2real.evaluation.statistics import FEWEST, checked_level, checked_returns, of_units
from sim2real.task import Task

LOOKS = (60, 120, 180, 240, 300)
FARTHEST = 9.0
"""Standard errors beyond which nothing is integrated."""
NODES = 801


@dataclass(frozen=True)
class Decision:
    """The result of a sequential comparison after this many paired `episodes`.

    `verdict` says how the policy compares with the baseline. `p` is that of the last look; the
    comparison is decided if it is at most `boundary`. `value` is the mean difference in return. It
    is too far from 0 on average if the comparison stopped early: evaluate with another seed to
    estimate it.
    """

    verdict: Literal["better", "worse", "undecided"]
    value: float
    episodes: int
    looks: int
    p: float
    boundary: float


def decide(
    policy: Policy,
    baseline: Policy,
    task: str | Task,
    domain: str | Domain,
    *,
    looks: Sequence[int] = LOOKS,
    seed: int = 0,
    level: float = LEVEL,
    num_envs: int | None = None,
    accept_changes: bool = False,
) -> Decision:
    """Compare two policies in a domain with as few episodes as the verdict needs.

    After each number of episodes in `looks` the returns are compared, paired by episode. It stops
    at the first look that decides. Equal policies are called different with a probability of at
    most 1 - level. The verdict is about these two policies, not about their methods: another
    training may differ. Raises UserError as `boundaries` and `evaluate` do.
    """
    mine: list[Row] = []
    others: list[Row] = []

    def differences(size: int) -> Floats:
        for one, rows in ((policy, mine), (baseline, others)):
            rows += evaluate(
                one,
                task,
                domain,
                episodes=range(len(rows), size),
                seed=seed,
                num_envs=num_envs,
                accept_changes=accept_changes,
            )
        return returns(mine) - returns(others)

    return sequential(differences, looks, level)


def sequential(
    differences: Callable[[int], Floats], looks: Sequence[int] = LOOKS, level: float = LEVEL
) -> Decision:
    """Test whether the mean of a growing sample is 0, until that is decided.

    `differences` gives the first n differences, (n,); it is asked only for what the next look
    needs. Raises UserError for another shape, for values that are not finite, and as `boundaries`.
    """
    sizes = list(looks)
    limits = boundaries(sizes, level)
    for look, (size, limit) in enumerate(zip(sizes, limits, strict=True), start=1):
        values = checked_returns([differences(size)])[0]
        if len(values) != size:
            raise UserError(f"look {look} needs {size} differences, got {len(values)}")
        found = of_units("episodes", values, "this policy").comparison()
        if found.p <= limit:
            break
    sign: Literal["better", "worse"] = "better" if found.value > 0 else "worse"
    verdict = sign if found.p <= limit else "undecided"
    return Decision(verdict, found.value, size, look, found.p, limit)


def boundaries(looks: Sequence[int], level: float = LEVEL) -> list[float]:
    """The largest two-sided p at each look, (looks,), that decides a comparison there.

    `looks` are numbers of episodes, increasing, the first at least 3; UserError otherwise.

    >>> [round(p, 4) for p in boundaries([100, 200])]
    [0.0031, 0.049]
    """
    sizes = [whole_number("a look", one, 1, MOST_EPISODES) for one in looks]
    if not sizes or any(a >= b for a, b in itertools.pairwise(sizes)):
        raise UserError(f"looks are {list(looks)}; allowed: increasing numbers of episodes")
    if sizes[0] < FEWEST:
        raise UserError(f"the first look has {sizes[0]} episodes; it needs at least {FEWEST}")
    shares = tuple(size / sizes[-1] for size in sizes)
    return [float(2.0 * ndtr(-z)) for z in z_boundaries(shares, checked_level(level))]


@functools.cache
def z_boundaries(shares: tuple[float, ...], level: float = LEVEL) -> tuple[float, ...]:
    """The boundaries of the absolute z at these shares of the whole sample, increasing to 1."""
    whole = ndtri(1.0 - (1.0 - level) / 4.0)
    spent = [4.0 * float(ndtr(-whole / math.sqrt(share))) for share in shares]
    found: list[float] = []
    places, density = np.zeros(1), np.ones(1)
    before = already = 0.0
    for share, total in zip(shares, spent, strict=True):
        step = math.sqrt(share - before)
        limit = _limit(places, density, step, FARTHEST * math.sqrt(share), total - already)
        found.append(limit / math.sqrt(share))
        places, density = _go_on(places, density, limit, step)
        before, already = share, total
    return tuple(found)


def _limit(places: Floats, density: Floats, step: float, reach: float, spend: float) -> float:
    """The limit that the sum exceeds at this look with probability `spend`, at most `reach`."""

    def excess(limit: float) -> float:
        beyond = ndtr((places - limit) / step) + ndtr((-limit - places) / step)
        return float(beyond @ density) - spend

    return float(brentq(excess, 1e-6, reach)) if excess(reach) < 0 else reach


def _go_on(places: Floats, density: Floats, limit: float, step: float) -> tuple[Floats, Floats]:
    """Nodes and weighted density of the sum where this look does not decide (Simpson's rule)."""
    nodes = np.linspace(-limit, limit, NODES)
    weights = np.full(NODES, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    weights *= (nodes[1] - nodes[0]) / 3.0
    here = norm.pdf((nodes[:, None] - places) / step) @ density / step
    return nodes, weights * here
