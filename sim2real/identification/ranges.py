"""Ranges from logs: how much the units of a robot differ, as a domain to pretrain in.

Each log gives an estimate of every unknown, with its error. A model of random effects separates
these errors from the differences between units and between logs of one unit: the estimate of log j
of unit i is m + u_i + w_ij + e_ij. The standard deviations of u and w have half-normal priors and
are averaged over (Gelman 2006, Bayesian Analysis 1), so that few units give wide ranges. The prior
of the family is taken out of every estimate first, so that logs that say little do not look alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim2real import files
from sim2real.domains import Domain
from sim2real.domains.distributions.distribution import Normal
from sim2real.domains.domain import dump_domains
from sim2real.errors import UserError
from sim2real.identification.family import Family, family_of
from sim2real.identification.identify import Report, identify
from sim2real.identification.log import Log
from sim2real.identification.posterior import Posterior
from sim2real.identification.result import (
    NORMAL_90,
    Identification,
    posterior_domain,
    rows_of,
    value_std,
)
from sim2real.registry import load_task
from sim2real.task import Array, IntArray, Task

RANGES = "ranges"
SPREAD = 0.1
"""Scale of the prior of a standard deviation between units, or logs, in shares of a range."""
GRID = np.linspace(0.0, 0.5, 41)
"""Standard deviations that are averaged over."""
SEEN = 12.0
"""Precision of a share that a log has to add to the prior to count: as much as that has."""
FEWEST = 2
"""Logs that determine an unknown, at least, for a range of its own."""
UNIFORM = 12.0**-0.5
"""Standard deviation of a share in the family."""

Logs = Log | Path | str


@dataclass(frozen=True)
class Effects:
    """What differs, in shares of a range: the mean of all units and its variance, the variances
    between units and within one."""

    mean: float
    error: float
    between: float
    within: float

    @property
    def total(self) -> float:
        """The variance of a log of a new unit."""
        return self.error + self.between + self.within


@dataclass(frozen=True)
class Range:
    """One unknown: the value of a mean unit, and where 90 % of new units lie.

    `between` and `within` are standard deviations between units and between logs of one, `error` is
    that of the estimate from one log, all in the unit of the value. `part` is the standard
    deviation that the logs ask for, as a share of the family's; 1 where they say nothing. `logs` is
    the number of logs that determine it.
    """

    name: str
    value: float
    low: float
    high: float
    between: float
    within: float
    error: float
    part: float
    logs: int


@dataclass(frozen=True)
class Ranges:
    """The result of `identify_ranges`: a `domain` with distributions, a table and the single logs.

    `units` names the unit of each of the `found` identifications.
    """

    domain: Domain
    table: tuple[Range, ...]
    units: tuple[str, ...]
    found: tuple[Identification, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """How much randomization the logs ask for, in words."""
        known = [row for row in self.table if row.logs >= FEWEST]
        kept = [f"{one.name}: keeps the range of the family" for one in self.table if one.part == 1]
        alone = [
            f"log {number}: {one.misfit.sentence}"
            for number, one in enumerate(self.found, 1)
            if not one.explained
        ]
        if not known:
            return (*kept, *alone)
        most = max(known, key=lambda row: row.part)
        asked = (
            f"{len(set(self.units))} units in {len(self.units)} logs ask for "
            f"{np.median([row.part for row in known]):.0%} of the family's randomization (median), "
            f"most for {most.name}: {most.part:.0%}"
        )
        return (asked, *kept, *alone)

    def plain(self) -> dict[str, Any]:
        """The result as JSON, without the domain."""
        return {
            "units": list(self.units),
            "table": [asdict(row) for row in self.table],
            "notes": list(self.notes),
            "logs": [one.plain() for one in self.found],
        }

    def save(self, folder: Path | str) -> Path:
        """Write ranges.yaml with the domain `ranges` into `folder`; returns the file."""
        path = files.user_path(folder) / "ranges.yaml"
        files.write_text(path, dump_domains({RANGES: self.domain}))
        return path


def identify_ranges(
    logs: Mapping[str, Sequence[Logs]] | Sequence[Logs],
    task: str | Task,
    family: str | Domain | None = None,
    seed: int = 0,
    horizon: int | None = None,
    threads: int = 0,
    report: Report | None = None,
    phases: Path | str | None = None,
) -> Ranges:
    """How much several units of a robot differ, from logs of each: a domain to pretrain in.

    `logs` has the logs of each unit by its name; a plain sequence has one log of each. Every log is
    identified by itself; the other arguments are those of `identify`, and a log that is finished in
    `phases` is not identified again. Raises UserError for fewer than two logs, and where `identify`
    does.
    """
    by_unit = logs if isinstance(logs, Mapping) else {str(k): [one] for k, one in _numbered(logs)}
    units = tuple(name for name, several in by_unit.items() for _ in several)
    if len(units) < FEWEST:
        raise UserError(f"there are {len(units)} logs; allowed: {FEWEST} or more")
    found = tuple(
        identify(one, task, family, seed, horizon, threads, report, phases=phases)
        for several in by_unit.values()
        for one in several
    )
    return combined(family_of(load_task(task), family), units, found)


def _numbered(logs: Sequence[Logs]) -> list[tuple[int, Logs]]:
    if isinstance(logs, Log | Path | str):
        raise UserError("there is 1 log; allowed: 2 or more")
    return list(enumerate(logs, 1))


def combined(family: Family, units: Sequence[str], found: Sequence[Identification]) -> Ranges:
    """The ranges of a `family` from identifications of logs, one or more of each unit."""
    estimates, variances = _estimates(family, found)
    _, unit = np.unique(np.array(units), return_inverse=True)
    effects = [
        random_effects(unit[seen], estimate[seen], variance[seen])
        if (seen := np.isfinite(variance)).sum() >= FEWEST
        else None
        for estimate, variance in zip(estimates.T, variances.T, strict=True)
    ]
    known = np.array([one is not None for one in effects])
    mean = np.array([0.5 if one is None else np.clip(one.mean, 0.0, 1.0) for one in effects])
    total = np.array([UNIFORM**2 if one is None else one.total for one in effects])
    posterior = _independent(family, mean, np.minimum(total, UNIFORM**2))
    rows = rows_of(family, posterior, known)
    domain = posterior_domain(family, rows, posterior, _noise(found))
    about = f"From {len(found)} logs of {len(set(units))} units."
    logs = np.isfinite(variances).sum(axis=0)

    def spread(variance: Array) -> Array:
        return value_std(family, _independent(family, mean, variance))

    between = spread(np.array([0.0 if one is None else one.between for one in effects]))
    within = spread(np.array([0.0 if one is None else one.within for one in effects]))
    error = spread(np.array([np.median(_finite(column)) for column in variances.T]))
    parts = np.where(known, posterior.std / UNIFORM, 1.0)
    return Ranges(
        domain=domain.model_copy(update={"name": RANGES, "about": about, "correlated": ()}),
        table=tuple(
            Range(
                name=row.name,
                value=row.value,
                low=row.low,
                high=row.high,
                between=float(between[k]),
                within=float(within[k]),
                error=float(error[k]),
                part=float(parts[k]),
                logs=int(logs[k]),
            )
            for k, row in enumerate(rows)
        ),
        units=tuple(units),
        found=tuple(found),
    )


def _independent(family: Family, mean: Array, variance: Array) -> Posterior:
    return Posterior(family.names, mean, np.diag(variance), (False,) * len(mean))


def _finite(variances: Array) -> Array:
    """Those that are finite; that of the family where none is."""
    found = variances[np.isfinite(variances)]
    return found if len(found) else np.array([UNIFORM**2])


def _estimates(family: Family, found: Sequence[Identification]) -> tuple[Array, Array]:
    """Shares that the logs alone show, and their variances, (logs, d); infinite where they do not.

    Precisions of a prior and of a log add up, so that the prior's can be taken off again.
    """
    places = np.array([[one.evidence.shares[name] for name in family.names] for one in found])
    _, low, high, share = np.moveaxis(places, -1, 0)
    std = np.maximum(np.maximum(high - share, share - low) / NORMAL_90, 1e-6)
    prior = np.array([family.prior_information(row) for row in share])
    own = 1 / std**2 - prior
    seen = own > SEEN
    seen &= np.array([[row.status != "no effect" for row in one.table] for one in found])
    safe = np.where(seen, own, 1.0)
    estimates = (share / std**2 - prior * family.nominal) / safe
    return estimates, np.where(seen, 1 / safe, np.inf)


def random_effects(unit: IntArray, estimates: Array, variances: Array) -> Effects:
    """Mean and variances of n estimates (n,) with error `variances` (n,); `unit` (n,) of each.

    Restricted likelihood, averaged over a grid of standard deviations. Where no unit has two logs,
    all differences count as those between units.
    """
    repeated = len(np.unique(unit)) < len(unit)
    inner = GRID if repeated else GRID[:1]
    same = (unit[:, None] == unit).astype(np.float64)
    pairs = np.array([(between, within) for between in GRID for within in inner])
    fits = np.array(
        [_restricted(pair[0] ** 2 * same, pair[1] ** 2 + variances, estimates) for pair in pairs]
    )
    logs = fits[:, 0] - 0.5 * np.sum((pairs / SPREAD) ** 2, axis=1)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    mean = float(weights @ fits[:, 1])
    error = float(weights @ (fits[:, 2] + (fits[:, 1] - mean) ** 2))
    between, within = weights @ pairs**2
    return Effects(mean, error, float(between), float(within))


def _restricted(shared: Array, own: Array, estimates: Array) -> tuple[float, float, float]:
    """The restricted log-likelihood of a covariance, the mean under it, and its variance."""
    covariance = shared + np.diag(own)
    solved = np.linalg.solve(covariance, np.stack([np.ones_like(estimates), estimates], axis=1))
    information = float(solved[:, 0].sum())
    mean = float(solved[:, 1].sum()) / information
    rest = estimates - mean
    square = float(rest @ np.linalg.solve(covariance, rest))
    determinant = float(np.linalg.slogdet(covariance)[1])
    return -0.5 * (determinant + np.log(information) + square), mean, 1.0 / information


def _noise(found: Sequence[Identification]) -> dict[str, float]:
    """The mean standard deviation of the noise of each term that has any in a log."""
    several = [
        {
            term: entry.distribution.std
            for entry in one.domain.sensing
            for term in entry.of
            if entry.kind.name == "noise" and isinstance(entry.distribution, Normal)
        }
        for one in found
    ]
    terms = list(dict.fromkeys(term for one in several for term in one))
    return {term: float(np.mean([one.get(term, 0.0) for one in several])) for term in terms}
