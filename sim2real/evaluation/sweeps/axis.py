"""The axis of a sweep: a parameter and its values, and the domain that can have all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.config import parse
from sim2real.domains import Domain
from sim2real.domains.distributions.distribution import Choice, Constant, Distribution
from sim2real.errors import UserError, unknown, whole_number
from sim2real.evaluation.attribution.differences import AnyEntry, neutral_value

MOST_VALUES = 1000
TAIL = 0.01
"""Share of the draws beyond either end of the values, of a distribution without bounds."""


@dataclass(frozen=True)
class Axis:
    """A parameter by its `name` in the context, its `values` in ascending order, and its `entry`.

    The name is that of the entry, which stands for all its elements, or that of one element, such
    as "body_mass:torso".
    """

    name: str
    values: tuple[float, ...]
    entry: AnyEntry

    @property
    def section(self) -> str:
        """The section of its entry."""
        return _SECTIONS[type(self.entry).__name__]

    def given(self, value: float, domain: Domain) -> dict[str, float]:
        """The values of the context at `value`; those of its other elements are the domain's."""
        if self.name == self.entry.label:
            return {self.name: value}
        return {self.entry.label: _of_others(self, domain), self.name: value}


_SECTIONS = {
    "Dynamics": "dynamics",
    "Actuation": "actuation",
    "Sensing": "sensing",
    "Disturbance": "disturbances",
}


def axis(
    name: str,
    domain: Domain,
    ranges: Domain,
    values: Sequence[float] = (),
    count: int = 20,
) -> Axis:
    """The axis of the parameter `name` of `domain`, or else of `ranges`.

    Without `values` it has `count` quantiles of what the parameter is drawn from in `ranges`,
    equally spaced from one end to the other. Raises UserError for a name that neither has, and for
    a parameter without a range where no values are given.
    """
    entry = _find(name, domain) or _find(name, ranges)
    if entry is None:
        names = dict.fromkeys(one.label for one in (*domain.parameters, *ranges.parameters))
        raise unknown(f"parameter of {domain.name!r} and {ranges.name!r}", name, names)
    if values:
        chosen = sorted(set(map(float, values)))
    else:
        whole_number("count", count, 2, MOST_VALUES)
        chosen = _spread(name, _find(name, ranges) or entry, count)
    whole_number("the number of values", len(chosen), 1, MOST_VALUES)
    return Axis(name, tuple(chosen), entry)


def swept(domain: Domain, axes: Sequence[Axis]) -> Domain:
    """The domain, in which the parameters of the axes may have all their values.

    Raises UserError for values that a parameter cannot have, and for two axes of one entry.
    """
    data: dict[str, Any] = {}
    for one in axes:
        if sum(other.entry is one.entry for other in axes) > 1:
            raise UserError(f"{', '.join(other.name for other in axes)} belong to one entry")
        wide = one.entry.drawn_from(Choice(tuple(dict.fromkeys(_allowed(one, domain)))))
        entries = data.get(one.section, getattr(domain, one.section))
        kept = [wide if entry == one.entry else entry for entry in entries]
        data[one.section] = tuple(kept) if one.entry in entries else (*entries, wide)
    mixed = domain.model_copy(update=data)
    return parse(Domain, {**mixed.plain(), "name": mixed.name}, f"domain {domain.name!r}")


def _allowed(one: Axis, domain: Domain) -> tuple[float, ...]:
    if one.name == one.entry.label:
        return one.values
    return (*one.values, _of_others(one, domain))


def _of_others(one: Axis, domain: Domain) -> float:
    """The value of the elements of its entry that are not swept."""
    own = _find(one.name, domain)
    value = neutral_value(one.entry) if own is None else _constant(own.distribution)
    if value is None:
        raise UserError(
            f"{one.name}: the other elements of {one.entry.label!r} have no fixed value; sweep "
            f"{one.entry.label!r}, or give {one.name!r} an entry of its own in a domain"
        )
    return value


def _constant(distribution: Distribution) -> float | None:
    return distribution.value if isinstance(distribution, Constant) else None


def _find(name: str, domain: Domain) -> AnyEntry | None:
    """The entry that draws the context entry `name`, or all of those with this label."""
    label, _, element = name.partition(":")
    named = [one for one in domain.parameters if one.label in (name, label)]
    if element:
        named = [one for one in named if one.label == name or not one.of or element in one.of]
    if len(named) > 1:
        spelled = [f"{one.label}:{part}" for one in named for part in one.of]
        raise UserError(
            f"{name!r} are {len(named)} entries of {domain.name!r}; name one of them: "
            f"{', '.join(spelled)}"
        )
    return named[0] if named else None


def _spread(name: str, entry: AnyEntry, count: int) -> list[float]:
    distribution = entry.distribution
    low, high = distribution.support
    if low == high:
        raise UserError(f"{name} is always {low:g}, which is no range; give values")
    first = 0.0 if np.isfinite(low) else TAIL
    last = 1.0 if np.isfinite(high) else 1.0 - TAIL
    quantiles = distribution.quantile(np.linspace(first, last, count))
    return sorted(set(np.clip(quantiles, low, high).tolist()))
