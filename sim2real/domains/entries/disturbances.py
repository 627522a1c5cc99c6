"""What acts on the robot from outside: the `disturbances` section of a domain."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from sim2real.config import Config
from sim2real.domains.describe import names, sentence
from sim2real.domains.distributions.distribution import Distribution, DistributionField
from sim2real.domains.entries.course import Course

DEEPEST = 100.0
"""Depth of the hollows of an uneven floor in m, at most."""

Kind = Literal["push", "twist", "force", "torque", "slope", "bumps"]

IMPULSES: tuple[Kind, ...] = ("push", "twist")
"""What is drawn anew for each interval of an episode."""
LOADS: tuple[Kind, ...] = ("force", "torque")
"""What acts on bodies all the time."""
_KINDS: tuple[Kind, ...] = (*IMPULSES, *LOADS, "slope", "bumps")
_KEYS: dict[Kind, tuple[str, ...]] = {
    "push": ("of", "every", "direction"),
    "twist": ("of", "every", "direction"),
    "force": ("of", "direction", "shared"),
    "torque": ("of", "direction", "shared"),
    "slope": ("direction",),
    "bumps": ("of", "wavelength"),
}
_DIRECTIONS: dict[Kind, tuple[str, ...]] = {
    "push": ("horizontal", "x", "y", "z"),
    "twist": ("horizontal", "x", "y", "z"),
    "force": ("x", "y", "z"),
    "torque": ("x", "y", "z"),
    "slope": ("pitch", "roll"),
}
_UNITS: dict[Kind, str] = {
    "push": "N s",
    "twist": "N m s",
    "force": "N",
    "torque": "N m",
    "slope": "rad",
    "bumps": "m",
}


class Disturbance(Config):
    """One disturbance: exactly one of `push`, `twist`, `force`, `torque`, `slope` and `bumps`.

    - `push`: impulses in N s on one of the bodies `of`, each as likely, along `direction`
      (`horizontal`: at a random angle), one after each interval of `every` seconds.
    - `twist`: angular impulses in N m s, as pushes, about `direction`.
    - `force`: a constant force in N at the centres of mass of the bodies `of`, along the world's
      `direction`; a draw for each body unless `shared`.
    - `torque`: a constant torque in N m on the bodies `of`, about the world's `direction`.
    - `slope`: the floor rises by this angle in rad along x (`direction` pitch) or y (roll).
    - `bumps`: the depth in m of the hollows of an uneven floor; `wavelength` is about the
      distance in m between two tops.
    """

    push: DistributionField | None = None
    twist: DistributionField | None = None
    force: DistributionField | None = None
    torque: DistributionField | None = None
    slope: DistributionField | None = None
    bumps: DistributionField | None = None
    of: tuple[str, ...] = ()
    every: DistributionField | None = None
    direction: str | None = None
    wavelength: Annotated[float, Field(ge=0.001, le=1000.0)] | None = None
    shared: bool = False
    name: str | None = None
    course: Course | None = None

    _one_name = field_validator("of", mode="before")(names)

    @model_validator(mode="after")
    def _one_kind(self) -> Disturbance:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs exactly one of {', '.join(_KINDS)}; got {', '.join(given) or 'none'}"
            )
        for key in ("of", "every", "direction", "wavelength", "shared"):
            if getattr(self, key) and key not in _KEYS[self.kind]:
                raise ValueError(f"{self.kind} takes no {key!r}; it takes {_keys(self.kind)}")
        if self.course is not None and self.kind not in (*LOADS, "slope"):
            raise ValueError(f"{self.kind} takes no course")
        self._check_values()
        return self

    def _check_values(self) -> None:
        allowed = _DIRECTIONS.get(self.kind, ())
        if self.direction is not None and self.direction not in allowed:
            raise ValueError(
                f"a {self.kind} has the direction {' or '.join(allowed)}, got {self.direction!r}"
            )
        if self.kind in LOADS and self.direction is None:
            raise ValueError(f"a {self.kind} needs a direction: {' or '.join(allowed)}")
        if self.kind in IMPULSES + LOADS and not self.of:
            raise ValueError(f"a {self.kind} needs the bodies that it acts on ('of')")
        if self.kind in IMPULSES and (self.every is None or self.every.support[0] <= 0):
            got = "nothing" if self.every is None else self.every.words()
            raise ValueError(
                f"a {self.kind} needs 'every', an interval greater than 0 s; got {got}"
            )
        low, high = self.distribution.support
        if self.kind == "bumps" and not 0 <= low <= high <= DEEPEST:
            raise ValueError(f"bumps must lie within 0 to {DEEPEST:g} m, got {self._amount()}")
        if self.kind == "slope" and not -1.5 < low <= high < 1.5:
            raise ValueError(f"a slope must lie within -1.5 to 1.5 rad, got {self._amount()}")

    @property
    def kind(self) -> Kind:
        """Which disturbance it is."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    @property
    def distribution(self) -> Distribution:
        """What is drawn: for each impulse anew, of all else once an episode."""
        chosen: Distribution = getattr(self, self.kind)
        return chosen

    def drawn_from(self, distribution: Distribution) -> Self:
        """The same disturbance, drawn from another distribution."""
        return self.model_copy(update={self.kind: distribution})

    @property
    def towards(self) -> str:
        """The direction, where none is given that of the kind; empty for bumps."""
        return self.direction or _DIRECTIONS.get(self.kind, ("",))[0]

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ".".join(part for part in (self.kind, self.towards) if part)

    def words(self) -> str:
        """The disturbance as a person says it."""
        what = " ".join(part for part in (self.towards, self.kind) if part)
        often = f" every {self.every.words()} s" if self.every is not None else ""
        return sentence(what, self.of, self.shared, self._amount() + often, self.course)

    def _amount(self) -> str:
        return f"{self.distribution.words()} {_UNITS[self.kind]}"


def _keys(kind: Kind) -> str:
    return ", ".join((kind, *_KEYS[kind], "name"))
