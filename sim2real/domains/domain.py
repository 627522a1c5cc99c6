"""A domain: a named distribution over dynamics, signals and disturbances, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import model_validator

from sim2real.config import Config
from sim2real.domains.distributions.correlation import Correlated
from sim2real.domains.distributions.distribution import Constant, DistributionField
from sim2real.domains.entries.entry import Dynamics, Entry
from sim2real.domains.entries.imperfection import Actuation, Sensing
from sim2real.domains.entries.kinds import Disturbance
from sim2real.domains.entries.own import SECTIONS, is_own, reference_of
from sim2real.domains.entries.stage import Kind
from sim2real.domains.models.name_mapping import NameMapping
from sim2real.sources import source_of


class Domain(Config):
    """What the world is like: a distribution over dynamics, actuation, sensing and disturbances.

    Plain data in, as in the YAML files: `Domain(dynamics=[{"field": "body_mass", "scale": 1.4}])`.
    """

    name: str = "custom"
    about: str = ""
    model: str | None = None
    """An MJCF file of its own in place of the task's, or "menagerie:unitree_go1": a target that is
    another model."""
    mapping: NameMapping = NameMapping()
    """How that model names what the task needs, where the names differ."""
    keyframe: str | None = None
    """A key frame of the model, whose state every episode starts from in place of the task's start
    state. What the task draws besides, such as commands, stays."""
    control_period: DistributionField | None = None
    """Seconds from one control step to the next, in place of the task's; what is no constant is
    drawn anew for each step."""
    dynamics: tuple[Dynamics, ...] = ()
    actuation: tuple[Actuation, ...] = ()
    sensing: tuple[Sensing, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    correlated: tuple[Correlated, ...] = ()

    @model_validator(mode="after")
    def _maps_a_model(self) -> Domain:
        if self.model is None and self.mapping != NameMapping():
            raise ValueError("a mapping needs a model of the domain's own")
        return self

    @model_validator(mode="after")
    def _own_kinds_differ(self) -> Domain:
        kinds = {kind.name: kind for kind in self.own_kinds}
        for kind in self.own_kinds:
            if kinds[kind.name] is not kind:
                raise ValueError(f"two kinds of one name, {kind.name!r}; rename one of them")
        return self

    def __repr__(self) -> str:
        sections = ("dynamics", "actuation", "sensing", "disturbances", "correlated")
        counts = [f"{name}={len(getattr(self, name))}" for name in sections if getattr(self, name)]
        return f"Domain({', '.join([repr(self.name), *counts])})"

    __str__ = __repr__

    @property
    def parameters(self) -> tuple[Dynamics | Actuation | Sensing | Disturbance, ...]:
        """The entries of all sections."""
        return (*self.dynamics, *self.actuation, *self.sensing, *self.disturbances)

    def describe(self) -> list[str]:
        """The description of the domain, one line a parameter."""
        lines = [f"the model {self.model}"] if self.model else []
        if self.control_period is not None:
            lines.append(f"a control step of {self.control_period.describe()} s")
        lines += [f"a start from the key frame {self.keyframe}"] if self.keyframe else []
        lines += [parameter.describe() for parameter in self.parameters]
        return lines + [correlated.describe() for correlated in self.correlated]

    def plain(self) -> dict[str, Any]:
        """The plain data of the YAML form, without the name."""
        data = self.model_dump(exclude={"name"}, exclude_defaults=True, mode="json")
        return {key: value for key, value in data.items() if value}

    def digested(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Its `plain` data with the digest of the code of each own kind in place of its path."""
        sources = {reference_of(kind): source_of(kind) for kind in self.own_kinds}
        digests = {place: f"{one.digest}:{one.name}" for place, one in sources.items() if one}
        return replaced(plain, digests.__getitem__)

    @property
    def own_kinds(self) -> tuple[type[Kind], ...]:
        """The kinds of entries that are defined in files of the user's own."""
        entries: tuple[Entry, ...] = (*self.actuation, *self.sensing, *self.disturbances)
        return tuple(one.own_kind for one in entries if one.own_kind is not None)

    @property
    def is_constant(self) -> bool:
        """Whether every episode draws the same; what changes within an episode does not count."""
        distributions = [parameter.operation[1] for parameter in self.dynamics]
        others: tuple[Entry, ...] = (*self.actuation, *self.sensing, *self.disturbances)
        distributions += [one.distribution for one in others if one.kind.drawn == "episode"]
        courses = [one.course for one in self.parameters if one.course is not None]
        distributions += [one for course in courses for one in course.draws().values()]
        return all(isinstance(distribution, Constant) for distribution in distributions)


def replaced(data: Mapping[str, Any], change: Callable[[str], Any]) -> dict[str, Any]:
    """The data of a domain where `change` was applied to each path of an own kind."""
    found = dict(data)
    for section in SECTIONS:
        if isinstance(data.get(section), list | tuple):
            found[section] = [_entry(entry, change) for entry in data[section]]
    return found


def _entry(entry: Any, change: Callable[[str], Any]) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {
        change(key) if isinstance(key, str) and ".py" in key and is_own(key) else key: value
        for key, value in entry.items()
    }
