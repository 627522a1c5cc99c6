"""What differs between two domains, and the domains between them that have some differences."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sim2real.config import parse
from sim2real.domains import Actuation, Domain, Dynamics, Sensing
from sim2real.domains.distributions.correlation import Correlated
from sim2real.domains.entries.kinds import Disturbance

SECTIONS = ("dynamics", "actuation", "sensing", "disturbances")
ATTRIBUTES = ("model", "engine", "keyframe", "control_period")

AnyEntry = Dynamics | Actuation | Sensing | Disturbance


@dataclass(frozen=True)
class Difference:
    """One difference of a target from a source: what the target has in place of what.

    `section` is that of the entries, or the name of a key of the domain such as `engine`, which has
    no entries. `source` are the entries that only the source has, `target` those that only the
    target has.
    """

    name: str
    about: str
    section: str
    source: tuple[AnyEntry, ...] = ()
    target: tuple[AnyEntry, ...] = ()

    @property
    def neutral(self) -> dict[str, float] | None:
        """The values of the context that turn it off where the domain has it, by entry's label.

        None where no values do: then only another domain is without it.
        """
        values = [neutral_value(entry) for entry in self.target]
        if self.source or not self.target or None in values:
            return None
        pairs = zip(self.target, values, strict=True)
        return {entry.label: value for entry, value in pairs if value is not None}


def neutral_value(entry: AnyEntry) -> float | None:
    """The draw with which an entry has no effect; None where there is none.

    None too for what is drawn or acts in other ways than by one value for an episode, and for kinds
    of the user's own.
    """
    if entry.course is not None or entry.when != "reset":
        return None
    if isinstance(entry, Dynamics):
        return entry.identity
    if not isinstance(entry, Actuation | Sensing) or entry.own_kind is not None:
        return None
    if entry.jitter is not None or entry.kind.drawn != "episode":
        return None
    return entry.identity


def differences(source: Domain, target: Domain) -> tuple[Difference, ...]:
    """What differs, in the order of the target; empty for domains of the same content.

    Each entry that only the target has is a difference of its own. One of the same quantity as
    entries that only the source has takes their place, so all of these are one difference; and so
    are entries that set several components of one field of the same elements, such as mass and
    place of a payload. The keys `model`, `engine`, `keyframe` and `control_period` are differences
    too.
    """
    found = [
        Difference(key, _about(source, target, key), key)
        for key in ATTRIBUTES
        if _value(source, key) != _value(target, key)
    ]
    for section in SECTIONS:
        found += _in_section(section, getattr(source, section), getattr(target, section))
    return _named_apart(found)


def mixture(
    source: Domain, target: Domain, parts: Sequence[Difference], present: Collection[str]
) -> Domain:
    """The source with the differences named in `present`, of all `parts` between the two.

    The target itself for all of them. Correlations stay where all that they name is there.
    Raises UserError where this is no valid domain.
    """
    chosen = {one.name: one.name in present for one in parts}
    if all(chosen.values()):
        return target
    if not any(chosen.values()):
        return source
    data: dict[str, Any] = {}
    for key in ATTRIBUTES:
        of = target if chosen.get(key) else source
        data[key] = getattr(of, key)
        if key == "model":
            data["mapping"] = of.mapping
    for section in SECTIONS:
        dropped = [entry for one in parts if chosen[one.name] for entry in one.source]
        added = [entry for one in parts if chosen[one.name] for entry in one.target]
        kept = [entry for entry in getattr(source, section) if entry not in dropped]
        data[section] = (*kept, *(entry for entry in getattr(target, section) if entry in added))
    names = ", ".join(one.name for one in parts if chosen[one.name])
    mixed = source.model_copy(update={**data, "name": f"{source.name} with {names}", "about": ""})
    both = dict.fromkeys([*source.correlated, *target.correlated])
    correlated = tuple(one for one in both if _fits(one, mixed))
    mixed = mixed.model_copy(update={"correlated": correlated})
    return parse(Domain, {**mixed.plain(), "name": mixed.name}, mixed.name)


def without_each(source: Domain, target: Domain) -> dict[str, Domain]:
    """The target without each of its differences from the source, named "without-NAME"."""
    parts = differences(source, target)
    names = {one.name for one in parts}
    found = {}
    for one in parts:
        name = f"without-{re.sub(r'[^A-Za-z0-9_.-]+', '-', one.name).strip('-')}"
        about = (
            f"The domain {target.name!r} without this difference from {source.name!r}: {one.about}."
        )
        domain = mixture(source, target, parts, names - {one.name})
        found[name] = domain.model_copy(update={"name": name, "about": about})
    return found


def can_turn_off(one: Difference, target: Domain) -> bool:
    """Whether its neutral values turn it off, and nothing else, in the target."""
    labels = [entry.label for entry in target.parameters]
    return (
        one.neutral is not None
        and not target.correlated
        and all(labels.count(entry.label) == 1 for entry in one.target)
    )


def _in_section(
    section: str, source: Sequence[AnyEntry], target: Sequence[AnyEntry]
) -> list[Difference]:
    dropped = [entry for entry in source if entry not in target]
    groups: dict[tuple[Any, ...], list[AnyEntry]] = {}
    for entry in target:
        if entry not in source:
            replaces = any(_quantity(entry) == _quantity(one) for one in dropped)
            key = _quantity(entry) if replaces else _setting(entry) or (id(entry),)
            groups.setdefault(key, []).append(entry)
    for entry in dropped:
        groups.setdefault(_quantity(entry), [])
    return [
        _difference(section, [one for one in dropped if _quantity(one) == key], entries)
        for key, entries in groups.items()
    ]


def _quantity(entry: AnyEntry) -> tuple[Any, ...]:
    """Equal for entries that may change the same numbers."""
    if isinstance(entry, Dynamics):
        return (entry.field, entry.component)
    return (entry.kind,)


def _setting(entry: AnyEntry) -> tuple[Any, ...] | None:
    """Equal for entries that set components of one field of the same elements."""
    if isinstance(entry, Dynamics) and entry.operation[0] == "set":
        return ("set", entry.field, entry.of)
    return None


def _difference(
    section: str, dropped: Sequence[AnyEntry], entries: Sequence[AnyEntry]
) -> Difference:
    first = (entries or dropped)[0]
    one_field = isinstance(first, Dynamics) and len(entries) > 1 and not first.name
    name = first.field if isinstance(first, Dynamics) and one_field else first.label
    about = "; ".join(entry.describe() for entry in entries) or "none"
    if dropped:
        about = f"{'; '.join(entry.describe() for entry in dropped)} -> {about}"
    return Difference(name, about, section, tuple(dropped), tuple(entries))


def _named_apart(found: Sequence[Difference]) -> tuple[Difference, ...]:
    """The same with a name each: that of several is followed by their elements, or a number."""
    names = [one.name for one in found]
    spelled = [
        f"{one.name}:{','.join(_elements(one))}" if names.count(one.name) > 1 else one.name
        for one in found
    ]
    numbered = [
        f"{name} ({spelled[: k + 1].count(name)})" if spelled.count(name) > 1 else name
        for k, name in enumerate(spelled)
    ]
    return tuple(
        Difference(name, one.about, one.section, one.source, one.target)
        for name, one in zip(numbered, found, strict=True)
    )


def _elements(one: Difference) -> list[str]:
    named = [name for entry in (one.target or one.source) for name in entry.of]
    return list(dict.fromkeys(named)) or ["all"]


def _value(domain: Domain, key: str) -> Any:
    return (domain.model, domain.mapping) if key == "model" else getattr(domain, key)


def _about(source: Domain, target: Domain, key: str) -> str:
    usual = {"model": "the task's model", "engine": "mujoco", "keyframe": "the task's start"}

    def said(domain: Domain) -> str:
        value = getattr(domain, key)
        if value is None:
            return usual.get(key, "the task's")
        if key == "engine":
            return str(value.name)
        return f"{value.describe()} s" if key == "control_period" else str(value)

    return f"{key}: {said(source)} -> {said(target)}"


def _fits(correlated: Correlated, domain: Domain) -> bool:
    """Whether every name of a correlation is an entry of the domain."""
    labels = [entry.label for entry in domain.parameters]
    return all(
        any(name == label or name.startswith(f"{label}:") for label in labels)
        for name in correlated.parameters
    )
