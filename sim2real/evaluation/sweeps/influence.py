"""How much of the variance of the return each parameter of a domain causes: Sobol' indices."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sim2real.config import LAST_SIMULATION_SEED
from sim2real.domains import Domain, load_domain
from sim2real.domains.plan import Plan
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.cases import Case, evaluate_cases
from sim2real.evaluation.policy_checks import require_contract
from sim2real.evaluation.rollout import Policy, simulation_for
from sim2real.evaluation.unstable import counted_returns
from sim2real.registry import load_task
from sim2real.task import Array, Task

FEWEST_SAMPLES, MOST_SAMPLES = 16, 2**14
RESAMPLES = 999


@dataclass(frozen=True)
class Influence:
    """The Sobol' indices of the mean return with respect to one entry of the context.

    `first` is the share of the variance that the entry causes alone, `total` the share in which it
    takes part. Both have 95 % bootstrap intervals, over the samples, as (low, high).
    """

    name: str
    first: float
    first_interval: tuple[float, float]
    total: float
    total_interval: tuple[float, float]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "parameter": self.name,
            "first": self.first,
            "first_interval": list(self.first_interval),
            "total": self.total,
            "total_interval": list(self.total_interval),
        }


def influence(
    policy: Policy,
    task: str | Task,
    domain: str | Domain,
    *,
    samples: int = 64,
    episodes: int = 3,
    seed: int = 0,
    num_envs: int | None = None,
    threads: int = 0,
    accept_changes: bool = False,
) -> tuple[Influence, ...]:
    """The influence of each entry of the context that `domain` draws from a range, largest first.

    Saltelli's design (Saltelli et al. 2010, Computer Physics Communications 181) of `samples`, a
    power of 2, for d entries takes samples * (d + 2) contexts, each in the same `episodes` of one
    seed. It assumes that the entries are drawn independently.

    Raises UserError for a domain with fewer than two ranges or with draws that depend on each
    other, for other numbers of samples, where all returns are the same or all episodes became
    unstable, and as `evaluate` does.
    """
    whole_number("seed", seed, 0, LAST_SIMULATION_SEED)
    whole_number("episodes", episodes, 1, 1000)
    whole_number("samples", samples, FEWEST_SAMPLES, MOST_SAMPLES)
    if samples & (samples - 1):
        raise UserError(f"samples is {samples}; allowed: a power of 2, such as 64")
    loaded = load_task(task)
    require_contract(policy, loaded, accept_changes)
    world = load_domain(loaded, domain)
    with contextlib.closing(simulation_for(policy, loaded, world, threads=1)) as simulation:
        plan = simulation.plan
    names = _independent(world, plan)
    columns = [plan.names.index(name) for name in names]

    def mean_returns(shares: Array) -> Array:
        """The mean return, (m,), at shares of the distributions, (entries, m)."""
        values = [
            plan.distributions[column].quantile(row)
            for column, row in zip(columns, shares, strict=True)
        ]
        contexts = [dict(zip(names, one, strict=True)) for one in np.transpose(values).tolist()]
        cases = [Case(k, context) for context in contexts for k in range(episodes)]
        rows = evaluate_cases(
            policy, loaded, world, cases, seed=seed, num_envs=num_envs, threads=threads
        )
        counted = counted_returns([row.total for row in rows], [row.unstable for row in rows])
        if np.isnan(counted).any():
            raise UserError(f"all {len(rows)} episodes became unstable: they have no return")
        means: Array = counted.reshape(-1, episodes).mean(axis=1)
        return means

    return indices(names, mean_returns, samples, np.random.default_rng(seed))


def indices(
    names: Sequence[str], function: Any, samples: int, rng: np.random.Generator
) -> tuple[Influence, ...]:
    """The Sobol' indices of a `function` of uniform numbers, (inputs, m) to (m,), largest first.

    Raises UserError where the function is constant.
    """
    outputs: list[Array] = []

    def kept(shares: Array) -> Array:
        values = function(shares)
        outputs.append(values.copy())  # SciPy subtracts their mean in place
        return np.asarray(values)

    uniform: Any = [stats.uniform()] * len(names)
    found = stats.sobol_indices(func=kept, n=samples, dists=uniform, rng=rng)
    if np.ptp(np.concatenate(outputs)) == 0.0:
        raise UserError("the return is the same in all contexts: no parameter has an influence")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of resamples without a spread
        resampled = found.bootstrap(confidence_level=0.95, n_resamples=RESAMPLES)
    first, total = resampled.first_order, resampled.total_order
    every = [
        Influence(
            name=name,
            first=float(found.first_order[k]),
            first_interval=_pair(first.confidence_interval, k, found.first_order),
            total=float(found.total_order[k]),
            total_interval=_pair(total.confidence_interval, k, found.total_order),
        )
        for k, name in enumerate(names)
    ]
    return tuple(sorted(every, key=lambda one: -one.total))


def _independent(domain: Domain, plan: Plan) -> list[str]:
    if plan.coupling is not None or plan.pool is not None:
        raise UserError(
            f"domain {domain.name!r} has draws that depend on each other (groups, correlations or "
            "geometry); Sobol' indices need independent ones"
        )
    drawn = dict(zip(plan.names, plan.distributions, strict=True))
    names = [name for name in plan.names if name in plan.steady and _has_range(drawn[name])]
    if not names:
        raise UserError(f"domain {domain.name!r} draws nothing from a range at each reset")
    if len(names) == 1:
        raise UserError(
            f"domain {domain.name!r} draws {names[0]!r} alone from a range, which causes all of "
            "the variance; allowed: two parameters or more"
        )
    return names


def _has_range(distribution: Any) -> bool:
    low, high = distribution.support
    return bool(low < high)


def _pair(interval: Any, place: int, values: NDArray[np.float64]) -> tuple[float, float]:
    """The ends of an interval; the value itself where all resamples have it."""
    low, high = float(interval.low[place]), float(interval.high[place])
    value = float(values[place])
    return (value, value) if np.isnan(low) or np.isnan(high) else (low, high)
