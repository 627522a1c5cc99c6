"""The entries that can be adapted, each as a number in [0, 1], its share of the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.domains import Plan
from sim2real.domains.distributions.distribution import Choice, Distribution, Within
from sim2real.errors import UserError, unknown
from sim2real.simulation import Simulation
from sim2real.task import Array

UNBOUNDED = 0.01
"""Bounds of an unbounded distribution stop at the quantiles of this and of 1 minus this."""
BISECTIONS = 60


@dataclass(frozen=True)
class Space:
    """d context entries: names, the domain's distributions (`bases`), and the nominal shares (d,).

    The share of a value is its probability in the domain: the value at the share v is
    `bases[k].quantile(v)`, the domain itself is uniform in v, and a narrower distribution of v is
    one of values that the domain has too, on the scale (linear, logarithmic, ...) of the domain.
    The nominal share is that of no difference to the model, or the nearest that the domain has.
    """

    names: tuple[str, ...]
    bases: tuple[Distribution, ...]
    nominal: Array

    @property
    def limits(self) -> tuple[Array, Array]:
        """The smallest and the largest share at which there is a finite value, (d,) each."""
        ends = np.array([base.support for base in self.bases]).reshape(-1, 2)
        low, high = np.where(np.isfinite(ends), 0.0, UNBOUNDED).T
        return low, 1.0 - high

    def shares(self, contexts: Sequence[Mapping[str, float]]) -> Array:
        """The shares of m contexts, (m, d)."""
        values = np.array([[context[name] for name in self.names] for context in contexts])
        columns = zip(self.bases, values.reshape(-1, len(self.names)).T, strict=True)
        return np.stack([share_of(base, column) for base, column in columns], axis=1)

    def values(self, shares: Array) -> Array:
        """The values at shares (d,); those without a finite value are taken as near as `limits`."""
        inside = np.clip(shares, *self.limits)
        pairs = zip(self.bases, inside, strict=True)
        return np.array([float(base.quantile(np.array(share))) for base, share in pairs])

    def within(self, shares: Sequence[Distribution]) -> dict[str, Distribution]:
        """The distributions of the entries, by name, for distributions of their shares."""
        pairs = zip(self.names, self.bases, shares, strict=True)
        return {name: Within(base, share) for name, base, share in pairs}


def share_of(distribution: Distribution, values: Array) -> Array:
    """The probabilities in [0, 1] at which `values` are the quantiles, same shape, by bisection."""
    low, high = np.zeros_like(values), np.ones_like(values)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = distribution.quantile(middle) < values
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    # no middle reaches 1
    return np.where(distribution.quantile(np.ones_like(values)) <= values, 1.0, low)


def adaptable(
    simulation: Simulation, parameters: Sequence[str] = (), independent: bool = False
) -> Space:
    """The context entries that can be adapted; with `parameters`, these alone.

    A parameter is the name of an entry, or its part before the colon for all elements. Constants,
    choices, geometry, which comes from a pool of models, and what is drawn at startup or anew
    within an episode cannot be adapted. Raises UserError if nothing is left, for an unknown name,
    for a named one that cannot be adapted and, where they must be `independent`, for those that the
    domain groups or correlates.
    """
    plan, domain = simulation.plan, simulation.domain.name
    pooled = set() if plan.pool is None else {plan.names[k] for k in plan.pool.columns}
    free = [
        name
        for name, distribution in zip(plan.names, plan.distributions, strict=True)
        if not isinstance(distribution, Choice)
        and name not in pooled
        and distribution.support[0] < distribution.support[1]
        and name in plan.steady
    ]
    if not free:
        raise UserError(
            f"domain {domain!r} has nothing to adapt: no parameter is drawn from a range "
            "at each reset"
        )
    for parameter in parameters:
        meant = [name for name in plan.names if _means(parameter, name)]
        if not meant:
            labels = {name.partition(":")[0] for name in plan.names}
            raise unknown(
                f"parameter of domain {domain!r}", parameter, [*sorted(labels), *plan.names]
            )
        fixed = [name for name in meant if name not in free]
        if fixed:
            raise UserError(
                f"{fixed[0]} of domain {domain!r} cannot be adapted: it is not drawn from a range "
                "at each reset, or is geometry"
            )
    names = tuple(
        name for name in free if not parameters or any(_means(one, name) for one in parameters)
    )
    tied = [name for name in names if name in _tied(plan)]
    if tied and independent:
        raise UserError(
            f"{tied[0]} of domain {domain!r} is grouped or correlated, and only a curriculum can "
            f"adapt it; name others as the parameters"
        )
    bases = tuple(plan.distributions[plan.names.index(name)] for name in names)
    nominal = [
        float(share_of(base, np.array(np.clip(_nominal(simulation, name), *base.support))))
        for name, base in zip(names, bases, strict=True)
    ]
    return Space(names, bases, np.array(nominal))


def _tied(plan: Plan) -> set[str]:
    """The entries that are not drawn by themselves."""
    if plan.coupling is None:
        return set()
    return {plan.names[column] for tie in plan.coupling.ties for column in tie}


def _means(parameter: str, name: str) -> bool:
    return parameter in (name, name.partition(":")[0])


def _nominal(simulation: Simulation, name: str) -> float:
    """The value at which an entry makes no difference: scale 1, add 0, set what the model has."""
    label, domain = name.partition(":")[0], simulation.domain
    for parameter in (*domain.dynamics, *domain.visual):
        if parameter.label == label:
            same = {"scale": 1.0, "add": 0.0}
            return same.get(parameter.operation[0], _in_the_model(simulation.plan, name))
    imperfections: tuple[Any, ...] = (*domain.actuation, *domain.sensing)
    for entry in imperfections:
        if entry.label == label:
            identity = entry.kind.identity  # None: no limit at all
            return float("inf") if identity is None else float(identity)
    return 0.0  # disturbances


def _in_the_model(plan: Plan, name: str) -> float:
    """The mean value in the model of an entry that is set; 0 if the model has none yet."""
    source = plan.names.index(name)
    for write in plan.writes:
        own = write.sources == source
        if own.any():
            return float(np.atleast_2d(write.nominal)[:, own].mean())
    return 0.0
