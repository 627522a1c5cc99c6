"""A domain: a named distribution over dynamics, actuation and sensing, as plain data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sim2real.config import Config
from sim2real.domains.distributions import Constant, Distribution, DistributionField
from sim2real.domains.fields import FIELDS
from sim2real.errors import unknown

Operation = Literal["scale", "add", "set"]


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Dynamics(Config):
    """One parameter of the model: a field, of some elements, one operation on the nominal value.

    Without `of` every element counts that the field applies to; `shared` draws one number for all
    of them, otherwise each element has its own. `name` replaces the field in the context's names.
    """

    field: str
    of: tuple[str, ...] = ()
    component: str | None = None
    scale: DistributionField | None = None
    add: DistributionField | None = None
    set: DistributionField | None = None
    shared: bool = False
    name: str | None = None

    _one_name = field_validator("of", mode="before")(_names)

    @field_validator("field")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FIELDS:
            raise unknown("field", value, FIELDS)
        return value

    @model_validator(mode="after")
    def _one_operation(self) -> Dynamics:
        given = [name for name in ("scale", "add", "set") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{self.field} needs exactly one of scale, add, set; "
                f"got {', '.join(given) or 'none'}"
            )
        return self

    @property
    def operation(self) -> tuple[Operation, Distribution]:
        """The operation and its distribution."""
        operations: tuple[Operation, ...] = ("scale", "add", "set")
        return next(
            (name, getattr(self, name)) for name in operations if getattr(self, name) is not None
        )

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ".".join(part for part in (self.field, self.component) if part)

    def words(self) -> str:
        """The parameter as a person says it."""
        operation, distribution = self.operation
        sign = {"scale": "×", "add": "+", "set": "="}[operation]
        what = f"{self.component} {self.field}" if self.component else self.field
        return _sentence(what, self.of, self.shared, f"{sign} {distribution.words()}")


class Actuation(Config):
    """One imperfection of the actuators: a `delay` in s or a factor on their `strength`.

    A delay is one for all actuators unless `shared` is false; strength is one for each unless
    `shared` is true.
    """

    delay: DistributionField | None = None
    strength: DistributionField | None = None
    of: tuple[str, ...] = ()
    shared: bool | None = None
    name: str | None = None

    _one_name = field_validator("of", mode="before")(_names)

    @model_validator(mode="after")
    def _one_kind(self) -> Actuation:
        if (self.delay is None) == (self.strength is None):
            raise ValueError("needs exactly one of delay, strength")
        if self.distribution.support[0] < 0 or self.distribution.support[1] == float("inf"):
            raise ValueError(f"{self.kind} must be bounded and not negative")
        return self

    @property
    def kind(self) -> Literal["delay", "strength"]:
        """Which imperfection it is."""
        return "delay" if self.delay is not None else "strength"

    @property
    def distribution(self) -> Distribution:
        """What is drawn."""
        chosen: Distribution = getattr(self, self.kind)
        return chosen

    @property
    def is_shared(self) -> bool:
        """Whether one draw serves all actuators."""
        return self.kind == "delay" if self.shared is None else self.shared

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or self.kind

    def words(self) -> str:
        """The imperfection as a person says it."""
        value = self.distribution.words()
        amount = f"{value} s" if self.kind == "delay" else f"× {value}"
        return _sentence(f"actuator {self.kind}", self.of, self.is_shared, amount)


class Sensing(Config):
    """One imperfection of an observation term: `noise`, drawn anew for each number and step."""

    noise: DistributionField
    of: tuple[str, ...] = Field(min_length=1)

    _one_name = field_validator("of", mode="before")(_names)

    def words(self) -> str:
        """The imperfection as a person says it."""
        return _sentence("sensor noise", self.of, False, f"+ {self.noise.words()}")


def _sentence(what: str, of: tuple[str, ...], shared: bool, amount: str) -> str:
    whose = f" of {', '.join(of)}" if of else ""
    together = ", one draw for all" if shared else ""
    return f"{what}{whose} {amount}{together}"


class Domain(Config):
    """What the world is like: a distribution over dynamics, actuation and sensing.

    Plain data in, as in the YAML files: `Domain(dynamics=[{"field": "body_mass", "scale": 1.4}])`.
    """

    name: str = "custom"
    about: str = ""
    dynamics: tuple[Dynamics, ...] = ()
    actuation: tuple[Actuation, ...] = ()
    sensing: tuple[Sensing, ...] = ()

    def describe(self) -> list[str]:
        """The domain in words, one line a parameter."""
        parameters: tuple[Dynamics | Actuation | Sensing, ...]
        parameters = (*self.dynamics, *self.actuation, *self.sensing)
        return [parameter.words() for parameter in parameters]

    def plain(self) -> dict[str, Any]:
        """The plain data of the YAML form, without the name."""
        data = self.model_dump(exclude={"name"}, exclude_defaults=True, mode="json")
        return {key: value for key, value in data.items() if value}

    @property
    def is_constant(self) -> bool:
        """Whether every episode has the same dynamics and actuation."""
        distributions = [parameter.operation[1] for parameter in self.dynamics]
        distributions += [parameter.distribution for parameter in self.actuation]
        return all(isinstance(distribution, Constant) for distribution in distributions)
