"""What imperfections of actuators and of sensors have in common: one kind an entry."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from sim2real.config import Config
from sim2real.domains.describe import names, sentence
from sim2real.domains.distributions.distribution import (
    Choice,
    Constant,
    Distribution,
    DistributionField,
)
from sim2real.domains.entries.course import Course
from sim2real.domains.entries.own import OwnKind, check_kind, own_of
from sim2real.domains.entries.stage import Kind
from sim2real.errors import unknown

LATE = ("delay", "reward_delay", "latency")


class Imperfection(Config):
    """One imperfection of some elements of a signal; a subclass has a field for each kind.

    A kind of the user's own has the path of its file as its key, "my_kind.py:Class".

    `shared` draws one number for all elements, of the episode and of each control step; without it
    each has its own. Actuators may share `by_joint`: one number for all that move one joint. `name`
    replaces the kind in the context's names.
    """

    kinds: ClassVar[dict[str, type[Kind]]] = {}
    section: ClassVar[str] = ""
    prefix: ClassVar[str] = ""

    of: tuple[str, ...] = ()
    shared: bool | str | None = None
    name: str | None = None
    course: Course | None = None
    """How the magnitude comes about within an episode."""
    jitter: DistributionField | None = None
    """What is added to a delay in each control step, in s."""
    steps: int = Field(default=1, ge=1)
    """For how many control steps a signal is dropped or held."""
    options: dict[str, float] = Field(default_factory=dict)
    """Numbers of a kind of the user's own that are not drawn, in place of its defaults."""
    own: OwnKind | None = Field(default=None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _own_kind(cls, data: Any) -> Any:
        if not isinstance(data, dict) or isinstance(data.get("own"), OwnKind):
            return data
        own, rest = own_of(data)
        if own is None:
            return data
        check_kind(own.stage, cls.kinds)
        return rest | {"own": own}

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        return plain if self.own is None else plain | self.own.plain()

    _one_name = field_validator("of", mode="before")(names)

    @model_validator(mode="after")
    def _one_kind(self) -> Imperfection:
        given = [name for name in self.kinds if getattr(self, name, None) is not None]
        given += [] if self.own is None else [self.own.stage.name]
        if len(given) != 1:
            got = ", ".join(given) or "none"
            raise ValueError(f"needs exactly one of {', '.join(self.kinds)}; got {got}")
        _check_range(self.kind, self.distribution)
        if self.steps != 1 and not self.kind.takes_steps:
            do = [name for name, kind in self.kinds.items() if kind.takes_steps]
            raise ValueError(f"{self.kind.name} takes no steps; {' and '.join(do)} do")
        for option in self.options.keys() - self.kind.options.keys():
            raise unknown(f"option of {self.kind.name}", option, self.kind.options)
        self._check_jitter()
        self._check_course()
        return self

    def _check_course(self) -> None:
        kind, course = self.kind, self.course
        if course is None:
            return
        if kind.drawn == "step" or not kind.takes_course:
            raise ValueError(f"{kind.name} takes no course")
        if kind.identity is None and course.kind != "drift":
            raise ValueError(f"without {kind.name} there is no limit, so it can only drift")
        if kind.whole and course.kind != "step":
            raise ValueError(f"{kind.name} is a whole number, so it can only take a step")

    def _check_jitter(self) -> None:
        if self.jitter is None:
            return
        if self.kind.name != "delay":
            raise ValueError(f"jitter belongs to a delay, not to {self.kind.name}")
        if abs(self.jitter.support[0]) == float("inf"):
            raise ValueError("jitter must be bounded; use truncated_normal")

    @property
    def kind(self) -> type[Kind]:
        """Which imperfection it is."""
        if self.own is not None:
            return self.own.stage
        return next(
            kind for name, kind in self.kinds.items() if getattr(self, name, None) is not None
        )

    @property
    def distribution(self) -> Distribution:
        """What is drawn: the magnitude for an episode or, for a noise, the value of a step."""
        own = self.own
        chosen: Distribution = getattr(self, self.kind.name) if own is None else own.distribution
        return chosen

    def drawn_from(self, distribution: Distribution) -> Self:
        """The same imperfection, drawn from another distribution."""
        if self.own is not None:
            return self.model_copy(update={"own": OwnKind(self.own.stage, distribution)})
        return self.model_copy(update={self.kind.name: distribution})

    @property
    def is_shared(self) -> bool:
        """Whether one draw serves all elements."""
        return self.kind.shared if self.shared is None else self.shared is True

    @property
    def by_joint(self) -> bool:
        """Whether one draw serves all actuators of a joint."""
        return self.shared == "joint"

    @property
    def longest(self) -> float:
        """The longest that the signal can be late, in s."""
        if self.kind.name == "rate":
            return 1.0 / float(self.distribution.support[0])
        if self.kind.name not in LATE:
            return 0.0
        jitter = 0.0 if self.jitter is None else self.jitter.support[1]
        return max(self.distribution.support[1] + float(jitter), 0.0)

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or f"{self.prefix}{self.kind.name}"

    def words(self) -> str:
        """The imperfection as a person says it."""
        kind = self.kind
        amount = " ".join(
            part for part in (kind.sign, self.distribution.words(), kind.unit) if part
        )
        if self.jitter is not None:
            amount += f" with a jitter of {self.jitter.words()} s"
        phase = getattr(self, "phase", None)
        if phase is not None and phase.support != (0.0, 0.0):
            amount += f", first after {phase.words()} periods"
        if self.steps > 1:
            amount += f", for {self.steps} steps"
        if self.by_joint:
            amount += ", one draw for each joint"
        what = f"{self.section} {kind.name}".replace("_", " ")
        return sentence(what, self.of, self.is_shared, amount, self.course)


def _check_range(kind: type[Kind], distribution: Distribution) -> None:
    """Refuse magnitudes that make no sense."""
    low, high = distribution.support
    unbounded = " and bounded; use truncated_normal" if low == -float("inf") else ""
    if low < kind.low or (kind.open_low and low == kind.low):
        least = "greater than" if kind.open_low else "at least"
        raise ValueError(f"{kind.name} must be {least} {kind.low:g}{unbounded}, got {low:g}")
    if high > kind.high:
        raise ValueError(f"{kind.name} must be at most {kind.high:g}, got {high:g}")
    if kind.whole and not _is_whole(distribution):
        raise ValueError(f"{kind.name} must be a whole number or a choice of whole numbers")


def _is_whole(distribution: Distribution) -> bool:
    values: tuple[Any, ...] = ()
    if isinstance(distribution, Constant):
        values = (distribution.value,)
    elif isinstance(distribution, Choice):
        values = distribution.values
    return bool(values) and all(float(value).is_integer() for value in values)
