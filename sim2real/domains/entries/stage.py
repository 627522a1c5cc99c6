"""The base of every kind of imperfection: what it is, and its stage in the path of a signal.

A stage knows nothing of physics: values (m, k) go in, values (m, k) come out, for the m worlds
`rows` of n. It serves actuators, sensors, rewards and forces alike, our simulation and foreign
environments. A kind of your own is a subclass of `Stage` in a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from sim2real.domains.distributions.distribution import Distribution, Uniform
from sim2real.domains.model_fields.rest_points import Rest
from sim2real.domains.writes import as_slice
from sim2real.task import Array, BoolArray, IntArray

Rows = slice | IntArray
"""Worlds: all of them as a slice, or some by their ids."""


class Kind:
    """A kind of imperfection: its name, its unit, the magnitudes it may have, and its draws.

    Its magnitude is drawn once an `episode`, or its value anew each control `step`; `random` is
    what is drawn besides in each control step, `lane_of` whether for each number or once for an
    element. `low` and `high` are the magnitudes that make sense (with `open_low`, `low` itself does
    not); `identity` is the one without effect. Where no draw is shared, a whole element (an
    actuator, an observation term) has its own, or each `number` of it. `sign` and `unit` describe
    the magnitude. `takes_steps`: an entry may give the number of control steps that it lasts.
    `keeps_length`: a quaternion that passes it has the same length, or is zero.
    `adds_up`: several entries of the kind may act on one number, as it adds to what is there.
    `options` are numbers of an entry that are not drawn, with their defaults.
    """

    name: ClassVar[str] = ""
    unit: ClassVar[str] = ""
    sign: ClassVar[str] = ""
    low: ClassVar[float] = -np.inf
    high: ClassVar[float] = np.inf
    open_low: ClassVar[bool] = False
    identity: ClassVar[float | None] = 0.0
    drawn: ClassVar[Literal["episode", "step"]] = "episode"
    each: ClassVar[Literal["element", "number"]] = "element"
    whole: ClassVar[bool] = False
    shared: ClassVar[bool] = False
    random: ClassVar[Distribution | None] = None
    lane_of: ClassVar[Literal["element", "number"]] = "number"
    takes_steps: ClassVar[bool] = False
    takes_course: ClassVar[bool] = True
    keeps_length: ClassVar[bool] = False
    adds_up: ClassVar[bool] = False
    options: ClassVar[Mapping[str, float]] = {}
    after: ClassVar[str] = ""
    """Of a kind of your own: the kind after which a signal passes it."""


@dataclass(frozen=True)
class StepDraws:
    """`count` random numbers of a control step, under the `key` of a name."""

    key: int
    count: int


@dataclass(frozen=True, eq=False)
class Effect:
    """One imperfection of k numbers of a signal, those in its `columns`, at run time a `stage`.

    Shapes (k,): `sources` are the context entries that hold the magnitudes (none where nothing is
    drawn for an episode); `lanes` are the columns of the effect's random numbers of a control step,
    its `draws` side by side, that each number takes, all from the distribution `random` (None:
    nothing is drawn); `low` and `high` are the limits of a saturation of 1, `rest` the rest points.
    `longest` is the longest delay in s, `steps` the length of a lapse.
    """

    stage: type[Stage]
    columns: IntArray
    sources: IntArray
    lanes: IntArray
    random: Distribution | None
    draws: tuple[StepDraws, ...]
    low: Array
    high: Array
    rest: Rest
    longest: float = 0.0
    steps: int = 1
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Moment:
    """A control step of m worlds: their `rows` and `ids`, which step of the episode it is, (m,),
    and its random `numbers`, (m, lanes)."""

    rows: Rows
    ids: IntArray
    steps: IntArray
    numbers: Array


class Stage(Kind):
    """One kind of imperfection of some numbers of a signal, in n worlds.

    `magnitude` (n, k) is what an episode has drawn; `lanes` are the columns of a step's random
    numbers that are the stage's. `memory` has, by name, its state between control steps: arrays
    with the worlds first, which are part of a checkpoint.
    """

    def __init__(
        self, effects: Sequence[Effect], lanes: IntArray, magnitude: Array, control_dt: float
    ) -> None:
        self.columns = as_slice(np.concatenate([effect.columns for effect in effects]))
        self.lanes = as_slice(lanes)
        self.control_dt = control_dt
        self.magnitude = magnitude
        self.shape = (len(magnitude), sum(len(effect.columns) for effect in effects))
        self.memory: dict[str, Array] = {}
        self.prepare(effects)

    def prepare(self, effects: Sequence[Effect]) -> None:
        """Prepare the state of this kind. By default nothing."""

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """Compute what follows from the magnitudes `drawn` (m, k) for the worlds `ids`."""

    def start(self, rows: Rows, values: Array) -> None:
        """Set the memory as if the signal had always been `values`, (m, columns of the signal)."""

    def begin(self, values: Array, moment: Moment) -> None:
        """`start` with the first `values` of a signal, and apply to them."""
        self.start(moment.ids, values)
        self.apply(values, moment)

    def apply(self, values: Array, moment: Moment) -> None:
        """Change the stage's columns of `values`, (m, columns of the signal), in place."""
        values[:, self.columns] = self.change(values[:, self.columns], moment)

    def change(self, values: Array, moment: Moment) -> Array:
        """New values for the stage's columns, (m, k)."""
        raise NotImplementedError("def change(self, values, moment) -> (m, k) array")


def per_number(effects: Sequence[Effect], name: str) -> Array:
    """An attribute of each effect, such as "longest", for each of its numbers."""
    return np.concatenate(
        [np.broadcast_to(getattr(one, name), len(one.columns)) for one in effects]
    )


def option(effects: Sequence[Effect], name: str) -> Array:
    """An option of each effect, for each of its numbers, (k,)."""
    return np.concatenate([np.full(len(one.columns), one.options[name]) for one in effects])


class Load(Stage):
    """A force or torque on some bodies or joints, in n worlds.

    `change(values, moment)` takes what else acts there, (m, k) in N or N m, and returns what acts
    over the control step. On bodies it acts at the centre of mass along the world's `direction` of
    the entry, or about it where it `turns`; on joints along their degrees of freedom. `world` has
    the fields of MjData with the worlds first, as they are before the step: to be read.
    """

    acts_on: ClassVar[Literal["body", "joint"]] = "body"
    turns: ClassVar[bool] = False
    world: Any


class Resting(Stage):
    """A stage that acts about the rest points: a number, or the target before the episode.

    A target beyond the limits of the signal is the limit, as it is to the actuator.
    """

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The rest points of each world."""
        self._holds = np.concatenate([one.rest.holds for one in effects])
        self._rest = self.memory["rest"] = np.zeros(self.shape)
        self._rest[:] = np.concatenate([one.rest.values for one in effects])
        self._low, self._high = per_number(effects, "low"), per_number(effects, "high")

    def start(self, rows: Rows, values: Array) -> None:
        """A target is at rest where it was."""
        target = np.clip(values[:, self.columns], self._low, self._high)
        self._rest[rows] = np.where(self._holds, target, self._rest[rows])


class Remembering(Stage):
    """A stage that remembers its last output."""

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The last output."""
        self._last = self.memory["last"] = np.zeros(self.shape)

    def start(self, rows: Rows, values: Array) -> None:
        """The last output was `values`."""
        self._last[rows] = values[:, self.columns]

    def change(self, values: Array, moment: Moment) -> Array:
        """The result of `follow` from the last output, which is then remembered."""
        last = self._last[moment.rows]
        changed = self.follow(last, values, moment)
        self._last[moment.rows] = changed
        return changed

    def follow(self, last: Array, values: Array, moment: Moment) -> Array:
        """The output after `last`, each (m, k)."""
        raise NotImplementedError("def follow(self, last, values, moment) -> (m, k) array")


class Lapse(Stage):
    """With the probability `magnitude` in each control step, another value for some steps."""

    unit, low, high = "a step", 0.0, 1.0
    random = Uniform(0.0, 1.0)
    takes_steps = keeps_length = True

    def prepare(self, effects: Sequence[Effect]) -> None:
        """How long a lapse lasts, (k,), and how much of it is left."""
        self._length = np.concatenate([self.lengths(one) for one in effects])
        self._left = self.memory["left"] = np.zeros(self.shape)

    def lengths(self, effect: Effect) -> Array:
        """The control steps that a lapse lasts, (k,)."""
        return np.full(len(effect.columns), float(effect.steps))

    def start(self, rows: Rows, values: Array) -> None:
        """No lapse is under way."""
        self._left[rows] = 0.0

    def lapsed(self, moment: Moment) -> BoolArray:
        """Which numbers are in a lapse in this step, (m, k)."""
        left = self._left[moment.rows]
        begins = moment.numbers[:, self.lanes] < self.magnitude[moment.rows]
        left = np.where((left == 0.0) & begins, self._length, left)
        lapsed = left > 0.0
        self._left[moment.rows] = left - lapsed
        return lapsed
