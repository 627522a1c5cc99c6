"""An entry of the section `disturbances`, and the base of the kinds that are no `Load`."""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import mujoco
from pydantic import Field, model_validator

from sim2real.domains.binding.builder import Builder
from sim2real.domains.distributions.distribution import DistributionField
from sim2real.domains.entries.entry import Entry, check_range
from sim2real.domains.entries.stage import Kind, Load

_AXES = {"x": (0,), "y": (1,), "z": (2,), "horizontal": (0, 1)}


class Form(NamedTuple):
    """The keys that an entry may have, those it needs, and its directions, the default first."""

    keys: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()


ON_BODIES = Form(("of", "direction", "shared"), ("of", "direction"), ("x", "y", "z"))
ON_JOINTS = Form(("of", "shared"), ("of",))


class DisturbanceKind(Kind):
    """A disturbance that changes the model, or that acts by a partner in `simulation/`.

    Kinds are bound in their `order`. `turns`: it acts about its direction. `needs_spec` is the
    reason why a model that is compiled already cannot have it, where there is one.
    """

    form: ClassVar[Form] = Form()
    order: ClassVar[int] = 9
    turns: ClassVar[bool] = False
    needs_spec: ClassVar[str] = ""

    @classmethod
    def check(cls, entry: DisturbanceEntry) -> None:
        """Raise ValueError for impossible values."""
        check_range(cls, entry.distribution)

    @classmethod
    def edit(cls, spec: mujoco.MjSpec, entry: DisturbanceEntry, domain: str) -> None:
        """Change the model before it is compiled. By default nothing."""

    @classmethod
    def bind(cls, builder: Builder, entry: DisturbanceEntry) -> object:
        """Draw the context entries and write the model; return the data of a partner, or None."""
        raise NotImplementedError("def bind(cls, builder, entry)")


def form_of(kind: type[Kind]) -> Form:
    """The keys and directions of an entry of a kind of disturbance."""
    if issubclass(kind, DisturbanceKind):
        return kind.form
    assert issubclass(kind, Load)
    return ON_JOINTS if kind.acts_on == "joint" else ON_BODIES


class DisturbanceEntry(Entry):
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

    bases: ClassVar[str] = "a subclass of Load or DisturbanceKind"
    jitter: ClassVar[None] = None
    by_joint: ClassVar[bool] = False
    longest: ClassVar[float] = 0.0
    steps: ClassVar[int] = 1

    every: DistributionField | None = None
    direction: str | None = None
    wavelength: Annotated[float, Field(ge=0.001, le=1000.0)] | None = None
    shared: bool = False

    @classmethod
    def accepts(cls, kind: type[Kind]) -> bool:
        """Whether a kind of the user's own is a disturbance."""
        return issubclass(kind, Load | DisturbanceKind)

    @model_validator(mode="after")
    def _sound(self) -> DisturbanceEntry:
        kind, (keys, needs, directions) = self.kind, form_of(self.kind)
        for key in ("of", "every", "direction", "wavelength", "shared"):
            if getattr(self, key) and key not in keys:
                takes = ", ".join((kind.name, *keys, "name"))
                raise ValueError(f"{kind.name} takes no {key!r}; it takes {takes}")
        if self.course is not None and not kind.takes_course:
            raise ValueError(f"{kind.name} takes no course")
        what, either = f"a {kind.name}", " or ".join(directions)
        if self.direction is not None and self.direction not in directions:
            raise ValueError(f"{what} has the direction {either}, got {self.direction!r}")
        if self.direction is None and "direction" in needs:
            raise ValueError(f"{what} needs a direction: {either}")
        if not self.of and "of" in needs:
            on = "bodies" if directions else "joints"
            raise ValueError(f"{what} needs the {on} that it acts on ('of')")
        if issubclass(kind, DisturbanceKind):
            kind.check(self)
        else:
            check_range(kind, self.distribution)
        return self

    @property
    def is_shared(self) -> bool:
        """Whether one draw serves all elements."""
        return self.shared

    @property
    def towards(self) -> str:
        """The direction, where none is given that of the kind; empty for bumps."""
        return self.direction or next(iter(form_of(self.kind).directions), "")

    @property
    def axes(self) -> tuple[int, ...]:
        """The columns of `xfrc_applied` that it acts along: 0 to 2 forces, 3 to 5 torques."""
        assert issubclass(self.kind, Load | DisturbanceKind)
        first = 3 if self.kind.turns else 0
        return tuple(first + axis for axis in _AXES[self.towards])

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ".".join(part for part in (self.kind.name, self.towards) if part)

    def describe(self) -> str:
        """The disturbance in one phrase."""
        what = " ".join(part for part in (self.towards, self.kind.name) if part)
        often = f" every {self.every.describe()} s" if self.every is not None else ""
        return self.sentence(what, self.amount() + often, self.shared)

    def amount(self) -> str:
        """The magnitude, with its unit."""
        return f"{self.distribution.describe()} {self.kind.unit}".rstrip()
