"""A domain taken apart: every number that it draws, alone and at the ends of its range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.domains import Domain, Dynamics
from sim2real.domains.distributions.distribution import Constant, Distribution
from sim2real.errors import UserError
from sim2real.evaluation.audit.foreign_worlds import Audited, context_names_of

SECTIONS = ("dynamics", "actuation", "sensing", "disturbances")
TAIL = 0.01
"""Where a range has no end, the quantiles TAIL and 1 - TAIL stand for its ends."""


@dataclass(frozen=True)
class Part:
    """One number that a domain draws for an episode, or one imperfection drawn at every step.

    `domain` is where it comes from, entry `index` of `section`; `entry` is that entry, of the one
    element where each has its own number; `others` is the entry without it, if anything is left.
    `drawn`: whether the number is part of the context.
    """

    name: str
    domain: Domain
    section: str
    index: int
    entry: Any
    others: Any | None
    drawn: bool

    @property
    def distribution(self) -> Distribution:
        """The distribution of the number."""
        found: Distribution = self.entry.distribution
        return found

    @property
    def kind(self) -> str:
        """The field, or the kind of imperfection."""
        return self.entry.field if isinstance(self.entry, Dynamics) else _drawn_field(self.entry)

    @property
    def identity(self) -> float | None:
        """The value that leaves everything as it is, if there is one."""
        identity: float | None = self.entry.identity
        return identity

    @property
    def operation(self) -> str:
        """`scale`, `add`, `set`, or the kind of imperfection."""
        return _drawn_field(self.entry)

    def ends(self) -> list[tuple[str, float | None]]:
        """Names and values of the ends; what is drawn at every step is probed as it is drawn."""
        if not self.drawn:
            return [("drawn", None)]
        low, high = ends_of(self.distribution)
        return [("value", low)] if low == high else [("low", low), ("high", high)]

    def alone(self, value: float | None) -> Domain:
        """A domain of nothing else, with the number at `value` (None: as it is drawn)."""
        return bare(self.domain).model_copy(update={self.section: (self._at(value),)})

    def with_others(self, end: int, value: float | None, absent: bool = False) -> Domain:
        """The domain with all others at their low (0) or high (1) end, and this one at `value`."""
        update = {}
        for section in SECTIONS:
            entries = []
            for index, entry in enumerate(getattr(self.domain, section)):
                mine = section == self.section and index == self.index
                other = self.others if mine else entry
                if other is not None:
                    entries.append(at(other, ends_of(other.distribution)[end]))
                if mine and not absent:
                    entries.append(self._at(value))
            if entries:
                update[section] = tuple(entries)
        return bare(self.domain).model_copy(update=update)

    def _at(self, value: float | None) -> Any:
        return self.entry if value is None else at(self.entry, value)


def bare(domain: Domain) -> Domain:
    """The domain without any parameter: its model as it is."""
    fields = {"name", "about", "model", "mapping", "keyframe", "control_period"}
    return Domain(**domain.model_dump(include=fields))


def ends_of(distribution: Distribution) -> tuple[float, float]:
    """The smallest and the largest value, or the outermost quantiles of what has no end."""
    low, high = distribution.support
    tails = distribution.quantile(np.array([TAIL, 1 - TAIL]))
    return (
        low if math.isfinite(low) else float(tails[0]),
        high if math.isfinite(high) else float(tails[1]),
    )


def at(entry: Any, value: float) -> Any:
    """The entry with a constant in place of its distribution."""
    return entry.drawn_from(Constant(value))


def _drawn_field(entry: Any) -> str:
    """The operation of a parameter of the model, or the kind of an imperfection."""
    if isinstance(entry, Dynamics):
        return entry.operation[0]
    return str(entry.kind.name)


def parts(task: Audited, domain: Domain, names: Sequence[str]) -> Iterator[Part]:
    """Every number that `domain` draws, one after the other; `names` are those of its context.

    What a sensor does is one part for each observation term, not for each of its numbers.
    """
    for section in SECTIONS:
        for index in range(len(getattr(domain, section))):
            yield from _entry_parts(task, domain, section, index, names)


def _entry_parts(
    task: Audited, domain: Domain, section: str, index: int, names: Sequence[str]
) -> Iterator[Part]:
    entry = getattr(domain, section)[index]
    own = _own_names(task, domain, section, entry)
    if own is None:  # it cannot stand alone
        own = tuple(name for name in names if name.partition(":")[0] == entry.label)
    of = _elements(section, entry, own)
    single = [entry.model_copy(update={"of": (element,)}) for element in of] if len(of) > 1 else []
    found = [_own_names(task, domain, section, one) for one in single]
    if not single or None in found or tuple(name for one in found for name in one or ()) != own:
        name = own[0] if len(own) == 1 else entry.label
        yield Part(name, domain, section, index, entry, None, bool(own))
        return
    for element, one in zip(of, single, strict=True):
        rest = entry.model_copy(update={"of": tuple(other for other in of if other != element)})
        yield Part(f"{entry.label}:{element}", domain, section, index, one, rest, bool(own))


def _elements(section: str, entry: Any, own: Sequence[str]) -> tuple[str, ...]:
    """The elements of which each has its own number."""
    named = tuple(name.removeprefix(f"{entry.label}:") for name in own if ":" in name)
    if not own or (section == "sensing" and entry.of):
        return tuple(entry.of)
    if section == "sensing":
        return tuple(dict.fromkeys(name.partition("[")[0] for name in named))
    return named


def _own_names(task: Audited, domain: Domain, section: str, entry: Any) -> tuple[str, ...] | None:
    """The context that an entry alone has; None if it cannot stand alone."""
    alone = bare(domain).model_copy(update={section: (entry,)})
    try:
        return context_names_of(task, alone)
    except UserError:
        return None
