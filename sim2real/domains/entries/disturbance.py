"""Entries of the `disturbances` section of a domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from sim2real.domains.distributions.distribution import DistributionField
from sim2real.domains.entries.disturbances import DEEPEST, Bumps, Force, Push, Slope
from sim2real.domains.entries.entry import Entry, check_range
from sim2real.domains.entries.kinds import DISTURBANCES
from sim2real.domains.entries.stage import Kind, Load

_OF_LOADS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "body": (Force.keys, Force.directions),
    "joint": (("of", "shared"), ()),
}
"""Keys and directions of a load, by what it acts on."""


class Disturbance(Entry):
    """One disturbance of a shipped kind, or of a kind by path.

    - `push`: impulses in N s on one of the bodies `of`, each as likely, along `direction`
      (`horizontal`: at a random angle), one after each interval of `every` seconds.
    - `twist`: angular impulses in N m s, as pushes, about `direction`.
    - `force`: a constant force in N at the centres of mass of the bodies `of`, along the world's
      `direction`; a draw for each body unless `shared`.
    - `torque`: a constant torque in N m on the bodies `of`, about the world's `direction`.
    - `slope`: the floor rises by this angle in rad along x (`direction` pitch) or y (roll).
    - `bumps`: the depth in m of the hollows of an uneven floor; `wavelength` is about the
      distance in m between two tops.
    - `residual`: a force or torque of the joints `of`, of their positions, speeds and commands.
    """

    kinds: ClassVar[Mapping[str, type[Kind]]] = DISTURBANCES
    loads: ClassVar[bool] = True
    jitter: ClassVar[None] = None
    by_joint: ClassVar[bool] = False
    longest: ClassVar[float] = 0.0
    steps: ClassVar[int] = 1

    every: DistributionField | None = None
    direction: str | None = None
    wavelength: Annotated[float, Field(ge=0.001, le=1000.0)] | None = None
    shared: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Disturbance:
        kind, (keys, _) = self.kind, self._form
        for key in ("of", "every", "direction", "wavelength", "shared"):
            if getattr(self, key) and key not in keys:
                takes = ", ".join((kind.name, *keys, "name"))
                raise ValueError(f"{kind.name} takes no {key!r}; it takes {takes}")
        if self.course is not None and not kind.takes_course:
            raise ValueError(f"{kind.name} takes no course")
        self._check_values()
        return self

    @property
    def _form(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The keys that the entry may have, and the directions."""
        kind = self.kind
        if issubclass(kind, Load):
            return _OF_LOADS[kind.acts_on]
        assert issubclass(kind, Push | Force | Slope | Bumps)
        return kind.keys, kind.directions

    def _check_values(self) -> None:
        kind, (keys, allowed) = self.kind, self._form
        what, either = f"a {kind.name}", " or ".join(allowed)
        if self.direction is not None and self.direction not in allowed:
            raise ValueError(f"{what} has the direction {either}, got {self.direction!r}")
        if self.direction is None and allowed and "shared" in keys:
            raise ValueError(f"{what} needs a direction: {either}")
        if not self.of and "of" in keys and kind is not Bumps:
            on = "joints" if issubclass(kind, Load) and kind.acts_on == "joint" else "bodies"
            raise ValueError(f"{what} needs the {on} that it acts on ('of')")
        if "every" in keys and (self.every is None or self.every.support[0] <= 0):
            got = "nothing" if self.every is None else self.every.describe()
            raise ValueError(f"{what} needs 'every', an interval greater than 0 s; got {got}")
        low, high = self.distribution.support
        if kind is Bumps and not kind.low <= low <= high <= kind.high:
            raise ValueError(f"bumps must lie within 0 to {DEEPEST:g} m, got {self._amount()}")
        if kind is Slope and not kind.low < low <= high < kind.high:
            raise ValueError(f"a slope must lie within -1.5 to 1.5 rad, got {self._amount()}")
        if issubclass(kind, Load):
            check_range(kind, self.distribution)

    @property
    def is_shared(self) -> bool:
        """Whether one draw serves all elements."""
        return self.shared

    @property
    def towards(self) -> str:
        """The direction, where none is given that of the kind; empty for bumps."""
        return self.direction or next(iter(self._form[1]), "")

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ".".join(part for part in (self.kind.name, self.towards) if part)

    def describe(self) -> str:
        """The disturbance in one phrase."""
        what = " ".join(part for part in (self.towards, self.kind.name) if part)
        often = f" every {self.every.describe()} s" if self.every is not None else ""
        return self.sentence(what, self._amount() + often, self.shared)

    def _amount(self) -> str:
        return f"{self.distribution.describe()} {self.kind.unit}".rstrip()
