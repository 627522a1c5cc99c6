"""A domain: a named distribution over dynamics, signals and disturbances, as plain data."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from sim2real.config import Config
from sim2real.domains.distributions.correlation import Correlated
from sim2real.domains.distributions.distribution import Constant, DistributionField
from sim2real.domains.entries.actuation import Actuation
from sim2real.domains.entries.disturbances import IMPULSES, Disturbance
from sim2real.domains.entries.dynamics import Dynamics
from sim2real.domains.entries.sensing import Sensing
from sim2real.domains.models.name_mapping import NameMapping


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
        """The domain in words, one line a parameter."""
        words = [f"the model {self.model}"] if self.model else []
        if self.control_period is not None:
            words.append(f"a control step of {self.control_period.words()} s")
        words += [f"a start from the key frame {self.keyframe}"] if self.keyframe else []
        words += [parameter.words() for parameter in self.parameters]
        return words + [correlated.words() for correlated in self.correlated]

    def plain(self) -> dict[str, Any]:
        """The plain data of the YAML form, without the name."""
        data = self.model_dump(exclude={"name"}, exclude_defaults=True, mode="json")
        return {key: value for key, value in data.items() if value}

    @property
    def is_constant(self) -> bool:
        """Whether every episode draws the same; what changes within an episode does not count."""
        distributions = [parameter.operation[1] for parameter in self.dynamics]
        signals = (*self.actuation, *self.sensing)
        distributions += [one.distribution for one in signals if one.kind.drawn == "episode"]
        distributions += [one.distribution for one in self.disturbances if one.kind not in IMPULSES]
        courses = [one.course for one in self.parameters if one.course is not None]
        distributions += [one for course in courses for one in course.draws().values()]
        return all(isinstance(distribution, Constant) for distribution in distributions)
