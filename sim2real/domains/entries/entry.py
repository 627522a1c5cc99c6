"""The entries of a domain's sections: parameters of the model, and the base of all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from sim2real.config import Config
from sim2real.domains.distributions.distribution import (
    Distribution,
    DistributionField,
    parse_distribution,
    plain_distribution,
)
from sim2real.domains.entries.course import Course
from sim2real.domains.entries.own import check_kind, is_own, load_kind, reference_of
from sim2real.domains.entries.stage import Kind, Load, Stage
from sim2real.domains.model_fields.table import FIELDS, ModelField
from sim2real.domains.writes import Operation
from sim2real.errors import UserError, unknown


class Parameter(Config):
    """The common keys of all entries: the elements `of` (by default all), a name in place of
    its own in the context's names, and the course of its value within an episode.

    It is drawn at each reset, or once for each world at `startup`.
    """

    of: tuple[str, ...] = ()
    name: str | None = None
    course: Course | None = None
    when: Literal["startup", "reset"] = "reset"

    @field_validator("of", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if self.when == "startup" and self.course is not None and self.course.every is not None:
            raise ValueError(
                "it is drawn at startup, so it cannot be drawn anew within an episode; "
                "drop 'when' or the course"
            )
        return self

    def course_for(self, distribution: Distribution) -> Course | None:
        """Its course, if drawn from another distribution: a constant has no range to move in."""
        course, (low, high) = self.course, distribution.support
        moves = course is not None and course.kind in ("drift", "every")
        return None if moves and low == high else course

    def sentence(self, what: str, amount: str, shared: bool) -> str:
        """The description of an entry: what it changes, of which elements, by how much."""
        course = f" {self.course.describe()}" if self.course is not None else ""
        course += ", fixed for each world" if self.when == "startup" else ""
        whose = f" of {', '.join(self.of)}" if self.of else ""
        together = ", one draw for all" if shared else ""
        return f"{what}{whose} {amount}{course}{together}"


class Dynamics(Parameter):
    """One parameter of the model: a field, of some elements, one operation on the nominal value.

    Without `of` every element counts that the field applies to; `shared` draws one number for all
    of them, otherwise each element has its own. `name` replaces the field in the context's names.
    A `course` lets the value come about within an episode.
    """

    fields: ClassVar[Mapping[str, ModelField]] = FIELDS
    """What a parameter may name."""

    field: str
    component: str | None = None
    scale: DistributionField | None = None
    add: DistributionField | None = None
    set: DistributionField | None = None
    shared: bool = False
    group: str | None = None

    @field_validator("field")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in cls.fields:
            raise unknown("field", value, cls.fields)
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
    def distribution(self) -> Distribution:
        """The distribution of the value."""
        return self.operation[1]

    def drawn_from(self, distribution: Distribution) -> Self:
        """The same parameter, drawn from another distribution."""
        course = self.course_for(distribution)
        return self.model_copy(update={self.operation[0]: distribution, "course": course})

    @property
    def identity(self) -> float | None:
        """The value that leaves the model as it is; None of what is set."""
        return {"scale": 1.0, "add": 0.0}.get(self.operation[0])

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ".".join(part for part in (self.field, self.component) if part)

    def describe(self) -> str:
        """The parameter in one phrase."""
        operation, distribution = self.operation
        sign = {"scale": "×", "add": "+", "set": "="}[operation]
        what = f"{self.component} {self.field}" if self.component else self.field
        return self.sentence(what, f"{sign} {distribution.describe()}", self.shared)


class Entry(Parameter):
    """One entry of a section. Its key is the name of a kind of the table `kinds`, its value a
    distribution: `{bias: 0.1}`; a kind of the user's own has the path of its file as its key,
    `{"my_kind.py:Class": 0.1}`.
    """

    kinds: ClassVar[Mapping[str, type[Kind]]] = {}
    bases: ClassVar[str] = "a stage of a signal, which is no Load"
    """The base classes allowed for kinds of the user's own, in words."""

    options: dict[str, float] = Field(default_factory=dict)
    """Numbers of a kind of the user's own that are not drawn, in place of its defaults."""
    kind: type[Kind] = Field(exclude=True)
    distribution: DistributionField = Field(exclude=True)
    """The magnitude for an episode or, for a noise, the value of a step."""

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        fields = [name for name in cls.model_fields if name not in ("kind", "distribution")]
        rest = {key: value for key, value in data.items() if key in fields}
        kinds = {key: value for key, value in data.items() if key not in rest}
        for key in kinds:
            if not (key in cls.kinds or is_own(key)):
                raise unknown("key", key, [*fields, *cls.kinds])
        found = {key: value for key, value in kinds.items() if value is not None}
        if len(found) != 1:
            own = [getattr(key, "name", str(key)) for key in found if is_own(key)]
            got = ", ".join([*(key for key in cls.kinds if key in found), *own]) or "none"
            raise UserError(f"needs exactly one of {', '.join(cls.kinds)}; got {got}")
        ((key, value),) = found.items()
        kind = cls._kind_of(key)
        try:
            return {**rest, "kind": kind, "distribution": parse_distribution(value)}
        except ValueError as error:
            raise UserError(f"{kind.name}: {error}") from None

    @classmethod
    def _kind_of(cls, key: Any) -> type[Kind]:
        if key in cls.kinds:
            return cls.kinds[key]
        kind = load_kind(key)
        if not cls.accepts(kind):
            raise UserError(f"{kind.__name__} is of another section; allowed here: {cls.bases}")
        check_kind(kind, cls.kinds)
        return kind

    @classmethod
    def accepts(cls, kind: type[Kind]) -> bool:
        """Whether a kind of the user's own belongs to this section."""
        return issubclass(kind, Stage) and not issubclass(kind, Load)

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        key = self.kind.name if self.own_kind is None else reference_of(self.kind)
        return {**handler(self), key: plain_distribution(self.distribution)}

    @model_validator(mode="after")
    def _sound_options(self) -> Self:
        for option in self.options.keys() - self.kind.options.keys():
            raise unknown(f"option of {self.kind.name}", option, self.kind.options)
        if self.when == "startup" and self.kind.drawn == "step":
            raise ValueError(
                f"{self.kind.name} is always drawn anew, so not at startup; drop 'when'"
            )
        return self

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        raise NotImplementedError

    @property
    def is_shared(self) -> bool:
        """Whether one draw serves all elements."""
        raise NotImplementedError

    @property
    def own_kind(self) -> type[Kind] | None:
        """Its kind, where that is the user's own."""
        return None if self.kinds.get(self.kind.name) is self.kind else self.kind

    def drawn_from(self, distribution: Distribution) -> Self:
        """The same entry, drawn from another distribution."""
        course = self.course_for(distribution)
        return self.model_copy(update={"distribution": distribution, "course": course})

    @property
    def identity(self) -> float | None:
        """The magnitude, or the value of a step, without effect; None where there is none."""
        return 0.0 if self.kind.drawn == "step" else self.kind.identity


def check_range(kind: type[Kind], distribution: Distribution) -> None:
    """Raise ValueError for impossible magnitudes."""
    low, high = distribution.support
    unbounded = " and bounded; use truncated_normal" if low == -float("inf") else ""
    if low < kind.low or (kind.open_low and low == kind.low):
        least = "greater than" if kind.open_low else "at least"
        raise ValueError(f"{kind.name} must be {least} {kind.low:g}{unbounded}, got {low:g}")
    if high > kind.high:
        raise ValueError(f"{kind.name} must be at most {kind.high:g}, got {high:g}")
