"""Imperfections of actuators and sensors: the sections `actuation` and `sensing` of a domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from sim2real.domains.distributions.distribution import (
    Choice,
    Constant,
    Distribution,
    DistributionField,
)
from sim2real.domains.entries.delays import Rate, RewardDelay
from sim2real.domains.entries.entry import Entry, check_range
from sim2real.domains.entries.kinds import ACTUATION, SENSING
from sim2real.domains.entries.stage import Kind
from sim2real.domains.entries.stages import Strength

LATE = ("delay", "reward_delay", "latency")


class Imperfection(Entry):
    """One imperfection of some elements of a signal.

    `shared` draws one number for all elements, of the episode and of each control step; without it
    each has its own. Actuators may share `by_joint`: one number for all that move one joint.
    """

    section: ClassVar[str] = ""
    prefix: ClassVar[str] = ""

    shared: bool | str | None = None
    jitter: DistributionField | None = None
    """A draw that is added to a delay in each control step, in s."""
    steps: int = Field(default=1, ge=1)
    """For how many control steps a signal is lost or stays."""

    @model_validator(mode="after")
    def _sound(self) -> Imperfection:
        check_range(self.kind, self.distribution)
        if self.kind.whole and not _is_whole(self.distribution):
            raise ValueError(
                f"{self.kind.name} must be a whole number or a choice of whole numbers"
            )
        if self.steps != 1 and not self.kind.takes_steps:
            do = [name for name, kind in self.kinds.items() if kind.takes_steps]
            raise ValueError(f"{self.kind.name} takes no steps; {' and '.join(do)} do")
        self._check_jitter()
        self._check_course()
        return self

    def _check_course(self) -> None:
        kind, course = self.kind, self.course
        if course is None:
            return
        if kind.drawn == "step" or not kind.takes_course:
            raise ValueError(f"{kind.name} takes no course")
        if kind.identity is None and course.kind not in ("drift", "every"):
            raise ValueError(f"without {kind.name} there is no limit, so it can only drift")
        if kind.whole and course.kind not in ("step", "every"):
            raise ValueError(f"{kind.name} is a whole number, so it can only take a step")

    def _check_jitter(self) -> None:
        if self.jitter is None:
            return
        if self.kind.name != "delay":
            raise ValueError(f"jitter belongs to a delay, not to {self.kind.name}")
        if abs(self.jitter.support[0]) == float("inf"):
            raise ValueError("jitter must be bounded; use truncated_normal")

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
        return max(float(self.distribution.support[1]) + float(jitter), 0.0)

    @property
    def shortest(self) -> float:
        """The shortest that the signal is late in any case, in s."""
        if self.kind.name not in LATE:
            return 0.0
        jitter = 0.0 if self.jitter is None else self.jitter.support[0]
        return max(float(self.distribution.support[0]) + float(jitter), 0.0)

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or f"{self.prefix}{self.kind.name}"

    def describe(self) -> str:
        """The imperfection in one phrase."""
        kind = self.kind
        amount = " ".join(
            part for part in (kind.sign, self.distribution.describe(), kind.unit) if part
        )
        if self.jitter is not None:
            amount += f" with a jitter of {self.jitter.describe()} s"
        phase = getattr(self, "phase", None)
        if phase is not None and phase.support != (0.0, 0.0):
            amount += f", first after {phase.describe()} periods"
        if self.steps > 1:
            amount += f", for {self.steps} steps"
        if self.by_joint:
            amount += ", one draw for each joint"
        what = f"{self.section} {kind.name}".replace("_", " ")
        return self.sentence(what, amount, self.is_shared)


class Actuation(Imperfection):
    """One imperfection of the actuators `of` (by default all), in units of the control signal.

    A command passes them in the order of the table. A rest point is the command that asks for
    nothing (0 of a motor), or the target that a servo holds.
    """

    kinds: ClassVar[Mapping[str, type[Kind]]] = ACTUATION
    section: ClassVar[str] = "actuator"

    shared: bool | Literal["joint"] | None = None

    @model_validator(mode="after")
    def _strength_is_an_actuators(self) -> Actuation:
        if self.kind is Strength and self.by_joint:
            raise ValueError("strength is that of an actuator; allowed for shared: true or false")
        return self


class Sensing(Imperfection):
    """One imperfection of the observation terms `of` (by default all), in units of the term.

    "term" is all its numbers, "term[2]" one of them. An observation passes them in the order of
    the table.
    """

    kinds: ClassVar[Mapping[str, type[Kind]]] = SENSING
    section: ClassVar[str] = "sensor"
    prefix: ClassVar[str] = "sensor_"

    shared: bool | None = None

    phase: DistributionField = Constant(0.0)
    """When the first sample comes, in periods of the rate after the start of an episode."""

    @model_validator(mode="after")
    def _reward_has_no_terms(self) -> Sensing:
        if self.kind is RewardDelay and self.of:
            raise ValueError("reward_delay is one for the reward; drop 'of'")
        return self

    @model_validator(mode="after")
    def _phase_of_a_rate(self) -> Sensing:
        if self.kind is not Rate and self.phase != Constant(0.0):
            raise ValueError(f"phase belongs to a rate, not to {self.kind.name}")
        low, high = self.phase.support
        if not 0 <= low <= high <= 1:
            raise ValueError(f"a phase must lie within 0 to 1, got {self.phase.describe()}")
        return self

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ("reward_delay" if self.kind is RewardDelay else super().label)


def _is_whole(distribution: Distribution) -> bool:
    values: tuple[float, ...] = ()
    if isinstance(distribution, Constant):
        values = (distribution.value,)
    elif isinstance(distribution, Choice):
        values = distribution.values
    return bool(values) and all(float(value).is_integer() for value in values)
