"""A family: a domain with ranges. What may differ from the nominal world, and can be identified."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from sim2real.domains import Domain, Plan, load_domain
from sim2real.domains.distributions.distribution import (
    Constant,
    Distribution,
    LogUniform,
    ShiftedLogUniform,
    Uniform,
)
from sim2real.domains.domain import default_domain
from sim2real.domains.entries.imperfection import Actuation
from sim2real.errors import UserError
from sim2real.evaluation.audit.auditor import audit
from sim2real.evaluation.audit.foreign_worlds import context_names_of
from sim2real.evaluation.audit.parts import SECTIONS, bare, ends_of
from sim2real.identification.candidates import (
    LATEST,
    SHIFT,
    added_to,
    candidates,
    has_kind,
    plain_family,
)
from sim2real.learning.adaptive.space import Space, adaptable, share_of
from sim2real.simulation import Simulation
from sim2real.task import Array, BoolArray, IntArray, Task

WIDER = 2.0
"""By what factor a default family is wider than the domain that it is made from."""
PRIOR_PRECISION = 12.0
"""Of a share around the nominal one: that of a uniform distribution on [0, 1]."""
ABSENT_PRECISION, PRESENT_PRECISION = 100.0, 3.0
"""Precisions of the share of an unknown that is 0 in the nominal world. If it is 0 in the target as
well, the standard deviation is 0.1. If not, the share is uniform on [0, 1], with a mean square of
1/3. Both cases have the same prior probability."""
ABSENT = 1e-6
"""Largest nominal share of what the nominal world does not have."""
SHARE_STEP, MOST_OF_A_RANGE = 0.003, 0.25
"""Finite difference of a share, and the largest one of a delay."""
USUAL = ("dof_frictionloss", "dof_armature", "delay")
"""Candidates that every default family has."""


@dataclass(frozen=True)
class Family:
    """The unknown numbers of a `domain` with ranges, bound to the model of a `task`.

    An unknown is an entry of the context that is drawn from a range once an episode. It is written
    as its share: its probability in the prior, so that all unknowns lie in the unit cube, on the
    scale (linear, logarithmic) of their distributions. Entries that are drawn at every step, such
    as noise, courses and correlations are left out: a replay has to be exact. `timestep` is that of
    the physics, in s.
    """

    task: Task
    domain: Domain
    space: Space
    plan: Plan
    timestep: float

    @property
    def names(self) -> tuple[str, ...]:
        """The d unknowns."""
        return self.space.names

    @property
    def nominal(self) -> Array:
        """The shares of the nominal world, or the nearest that the family has, (d,)."""
        return np.clip(self.space.nominal, *self.space.limits)

    @property
    def nominal_values(self) -> Array:
        """The values at the nominal shares, (d,)."""
        return self.space.values(self.nominal)

    @property
    def delays(self) -> tuple[str, ...]:
        """The unknowns that the engine rounds to whole physics steps."""
        labels = {one.label for one in self.domain.actuation if one.kind.name == "delay"}
        return tuple(name for name in self.names if name.partition(":")[0] in labels)

    def values(self, shares: Array) -> Array:
        """The values at m rows of shares, (m, d)."""
        return np.array([self.space.values(row) for row in np.atleast_2d(shares)])

    def rounded(self, values: Array) -> Array:
        """Values (d,) as the engine takes them: delays are whole physics steps."""
        late = self.is_delay
        whole = np.rint(values / self.timestep) * self.timestep
        highest = np.array([base.support[1] for base in self.space.bases])
        found: Array = np.where(late, np.minimum(whole, highest), values)
        return found

    def snapped(self, shares: Array) -> Array:
        """Shares (d,) with those of delays at whole physics steps."""
        values = self.rounded(self.space.values(shares))
        found = shares.copy()
        for k in np.flatnonzero(self.is_delay).tolist():
            found[k] = share_of(self.space.bases[k], values[k : k + 1])[0]
        return found

    def precision(self, shares: Array) -> Array:
        """The prior precision of the `shares` (d,) around the nominal ones, (d,).

        That of a uniform distribution on [0, 1]. An unknown that is 0 in the nominal world, such as
        added dry friction or armature, has a spike-and-slab prior (Mitchell and Beauchamp 1988):
        near 0 unless the log shows it, and then nearly free. Its precision is the mean of those of
        spike and slab, weighted by their probabilities at this share. Delays have no spike.
        """
        part = self._spike(shares)
        absent = part * ABSENT_PRECISION + (1.0 - part) * PRESENT_PRECISION
        found: Array = np.where(self.is_absent, absent, PRIOR_PRECISION)
        return found

    def prior_information(self, shares: Array) -> Array:
        """The inverse of the prior variance of the `shares` (d,) around the nominal ones, (d,).

        Of a spike-and-slab prior it is smaller than the precision, which is that of the gradient:
        the variance is the mean of the variances of spike and slab.
        """
        part = self._spike(shares)
        variance = part / ABSENT_PRECISION + (1.0 - part) / PRESENT_PRECISION
        found: Array = np.where(self.is_absent, 1.0 / variance, PRIOR_PRECISION)
        return found

    def _spike(self, shares: Array) -> Array:
        """The probability (d,) that each share belongs to the spike of a spike-and-slab prior."""
        log_odds = 0.5 * np.log(ABSENT_PRECISION / PRESENT_PRECISION)
        log_odds = log_odds - 0.5 * (ABSENT_PRECISION - PRESENT_PRECISION) * shares**2
        found: Array = expit(log_odds)
        return found

    def prior_cost(self, shares: Array) -> float:
        """The negative logarithm of the prior density of the shares (d,), but for a constant.

        `precision(shares) * (shares - nominal)` is its gradient.
        """
        apart = (shares - self.nominal) ** 2
        absent = 0.5 * PRESENT_PRECISION * apart + np.log1p(-self._spike(shares))
        return float(np.where(self.is_absent, absent, 0.5 * PRIOR_PRECISION * apart).sum())

    @functools.cached_property
    def is_absent(self) -> BoolArray:
        """Which unknowns the nominal world has nothing of, (d,)."""
        found: BoolArray = (self.nominal < ABSENT) & ~self.is_delay & (self.nominal_values == 0.0)
        return found

    @functools.cached_property
    def is_delay(self) -> BoolArray:
        """Which unknowns are delays of commands, (d,)."""
        return np.isin(self.names, self.delays)

    def contexts(self, shares: Array) -> Array:
        """The contexts at m rows of shares, (m, entries of the context).

        Delays are whole physics steps, the nearest ones, as the engine would round them up.
        """
        rows = np.atleast_2d(shares)
        uniforms = np.tile(self._uniforms, (len(rows), 1))
        uniforms[:, self._columns] = np.clip(rows, *self.space.limits)
        contexts: Array = self.plan.draw(uniforms)
        late = np.isin(self.plan.names, self.delays)
        contexts[:, late] = np.rint(contexts[:, late] / self.timestep) * self.timestep
        return contexts

    def _names_of(self, section: str, entry: Any) -> tuple[str, ...]:
        """The names in the context of what an entry of the domain draws."""
        own = tuple(name for name in self.plan.names if name.partition(":")[0] == entry.label)
        if sum(one.label == entry.label for one in self.domain.parameters) == 1:
            return own
        alone = bare(self.domain).model_copy(update={section: (entry,)})
        return context_names_of(self.task, alone)

    @functools.cached_property
    def differences(self) -> Array:
        """Steps of the shares for finite differences, (d,); of a delay, a physics step."""
        ends = self.values(np.stack([np.zeros(len(self.names)), np.ones(len(self.names))]))
        one_step = np.minimum(self.timestep / np.ptp(ends, axis=0), MOST_OF_A_RANGE)
        steps: Array = np.where(self.is_delay, one_step, SHARE_STEP)
        return steps

    @functools.cached_property
    def _columns(self) -> IntArray:
        return np.array([self.plan.names.index(name) for name in self.names], dtype=np.intp)

    @functools.cached_property
    def _uniforms(self) -> Array:
        """Uniform numbers of all entries of the context; those of the unknowns are replaced."""
        return np.full(len(self.plan.names), 0.5)

    def with_distributions(self, distributions: Mapping[str, Distribution], name: str) -> Domain:
        """The family's domain called `name`, with other distributions for its unknowns.

        A parameter that draws a number for each element becomes one entry for each, under the same
        names in the context. What is not an unknown keeps its distribution.
        """
        update = {
            section: tuple(
                one
                for entry in getattr(self.domain, section)
                for one in _split(entry, self._names_of(section, entry), distributions)
            )
            for section in SECTIONS
        }
        return self.domain.model_copy(update={"name": name, "about": "", **update})


def family_of(task: Task, domain: str | Domain | None = None) -> Family:
    """The family that a domain makes for a task; by default `default_family`.

    Raises UserError for a domain of another task, and one without anything to identify.
    """
    given = default_family(task) if domain is None else load_domain(task, domain)
    replayed = replayable(given)
    simulation = Simulation(task, replayed, 1, threads=1)
    timestep = float(simulation.model.opt.timestep)
    try:
        space = adaptable(simulation)
    except UserError as error:
        raise UserError(str(error).replace("adapt", "identify")) from None
    finally:
        simulation.close()
    free = _without_followers(space, simulation.plan)
    return Family(task, replayed, free, simulation.plan, timestep)


_NOMINAL = Domain(name="nominal")


def fixed_family(task: Task, domain: str | Domain | None = None) -> Family:
    """A family without unknowns: one world, that of the middle of every range of a domain.

    By default the nominal world. Raises UserError for a domain of another task.
    """
    replayed = replayable(load_domain(task, domain) if domain is not None else _NOMINAL)
    simulation = Simulation(task, replayed, 1, threads=1)
    simulation.close()
    timestep = float(simulation.model.opt.timestep)
    return Family(task, replayed, Space((), (), np.zeros(0)), simulation.plan, timestep)


def replayable(domain: Domain) -> Domain:
    """The domain without courses, correlations, and all that is drawn anew at every step.

    What is drawn at startup is an unknown like any other.
    """
    update: dict[str, Any] = {"correlated": (), "control_period": None}
    for section in SECTIONS:
        entries = [one for one in getattr(domain, section) if _is_steady(one)]
        update[section] = tuple(_at_reset(one) for one in entries)
    if not isinstance(domain.control_period, Constant):
        update["control_period"] = None
    return domain.model_copy(update=update)


def default_family(task: Task) -> Domain:
    """What may differ in any robot of a task, by default.

    The domain `randomized` with wider ranges: factors lie between half the smallest and twice the
    largest, other ranges reach twice as far from their middle, and not below 0 where the range is
    above. Ranges of parameters that begin at 0 are logarithmic, shifted by `SHIFT`. Without such a
    domain, the masses, frictions and strengths of the model that have an effect by the audit. Each
    has dry friction and armature of the driven joints, and commands that are late by up to four
    control steps, with the prior that there are none.
    """
    name = default_domain(task)
    family = audited_family(task) if name == "nominal" else _wide(task, name)
    for kind, sections in candidates(task).items():
        if kind in USUAL and not has_kind(family, sections):
            family = added_to(family, sections)
    return family


def audited_family(task: Task) -> Domain:
    """The plain family of a task without the parameters that have no effect by the audit."""
    plain = plain_family(task)
    wrong = {one.parameter for one in audit(task, plain).findings if one.errors}
    update = {}
    for section in SECTIONS:
        kept = [_without(entry, wrong) for entry in getattr(plain, section)]
        update[section] = tuple(entry for entry in kept if entry is not None)
    return plain.model_copy(update=update)


def _without(entry: Any, wrong: Collection[str]) -> Any:
    """The entry without the elements that are `wrong`; None if nothing is left."""
    if entry.label in wrong:
        return None
    of = tuple(one for one in entry.of if f"{entry.label}:{one}" not in wrong)
    if entry.of and not of:
        return None
    return entry.model_copy(update={"of": of})


def _wide(task: Task, name: str) -> Domain:
    """The domain `name` of the task with wider ranges."""
    domain = replayable(load_domain(task, name))
    update = {
        section: tuple(_widened(entry, task) for entry in getattr(domain, section))
        for section in SECTIONS
    }
    about = f"The domain {name!r} with ranges {WIDER:g} times as wide."
    return domain.model_copy(update={"name": f"wide-{name}", "about": about, **update})


def is_scale(entry: Any) -> bool:
    """Whether an entry is a factor, so that its ranges are logarithmic."""
    if entry_operation(entry) is not None:
        return entry_operation(entry) == "scale"
    return getattr(entry.kind, "identity", None) == 1.0


def entry_operation(entry: Any) -> str | None:
    """`scale`, `add` or `set` of a parameter of the model; None of an imperfection."""
    return entry.operation[0] if hasattr(entry, "operation") else None


def _is_steady(entry: Any) -> bool:
    """Whether all that an entry does follows from one draw an episode."""
    kind = getattr(entry, "kind", None)
    if kind is None:
        return True
    return kind.drawn == "episode" and kind.random is None


def _at_reset(entry: Any) -> Any:
    """The entry, drawn once for each episode."""
    plain = {"course": None, "jitter": None, "when": "reset"}
    update = {name: one for name, one in plain.items() if getattr(entry, name, one) != one}
    return entry.model_copy(update=update) if update else entry


def _widened(entry: Any, task: Task) -> Any:
    low, high = ends_of(entry.distribution)
    if low == high:
        return entry
    if isinstance(entry, Actuation) and entry.kind.name == "delay":
        return entry.drawn_from(Uniform(0.0, max(high * WIDER, LATEST * task.control_dt)))
    if is_scale(entry) and low > 0:
        return entry.drawn_from(LogUniform(low / WIDER, high * WIDER))
    kind_low, kind_high = _allowed(entry)
    reach = 0.5 * (high - low) * WIDER
    least = max(0.5 * (low + high) - reach, kind_low, 0.0 if low >= 0 else -np.inf)
    most = min(0.5 * (low + high) + reach, kind_high)
    if entry_operation(entry) is not None and least == 0.0:
        return entry.drawn_from(ShiftedLogUniform(least, most, SHIFT * most))
    return entry.drawn_from(Uniform(least, most))


def _allowed(entry: Any) -> tuple[float, float]:
    """The magnitudes that make sense for an imperfection."""
    kind = getattr(entry, "kind", None)
    if kind is None:
        return -np.inf, np.inf
    low = float(kind.low)
    return (np.nextafter(low, np.inf) if kind.open_low else low), float(kind.high)


def _without_followers(space: Space, plan: Plan) -> Space:
    """The unknowns without those that take the number of another one."""
    if plan.coupling is None:
        return space
    following = {plan.names[column] for column in plan.coupling.followers.tolist()}
    rows = [row for row, name in enumerate(space.names) if name not in following]
    return dataclasses.replace(
        space,
        names=tuple(space.names[row] for row in rows),
        bases=tuple(space.bases[row] for row in rows),
        nominal=space.nominal[rows],
    )


def _split(
    entry: Any, names: tuple[str, ...], distributions: Mapping[str, Distribution]
) -> list[Any]:
    """An entry as one for each of the `names` that it draws, from its distribution if given."""
    drawn = [distributions.get(name, entry.distribution) for name in names]
    if len(names) <= 1:
        return [entry.drawn_from(one) for one in drawn]
    elements = [name.removeprefix(f"{entry.label}:") for name in names]
    return [
        entry.model_copy(update={"of": (element,)}).drawn_from(one)
        for element, one in zip(elements, drawn, strict=True)
    ]
