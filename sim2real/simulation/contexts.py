"""The drawn values of the episodes of n worlds, and their values at the present control step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from sim2real.domains.distributions.distribution import Normal
from sim2real.domains.entries.load_friction import LoadedJoint
from sim2real.domains.entries.speed_limits import SpeedLimit
from sim2real.domains.entries.stage import StepDraws
from sim2real.domains.plan import Models, Plan
from sim2real.simulation.randomness import COURSE, Clock
from sim2real.simulation.redraws import Redraws
from sim2real.simulation.signals.imperfections import Imperfections
from sim2real.simulation.signals.load_friction import LoadFrictions
from sim2real.simulation.signals.signal import StepNumbers
from sim2real.simulation.signals.speed_limits import SpeedLimits
from sim2real.task import Array, IntArray

PARTNERS: dict[type, type[Any]] = {SpeedLimit: SpeedLimits, LoadedJoint: LoadFrictions}
"""The partner of each type that acts before every physics step, in the order of their effects."""


class Contexts:
    """The contexts of n worlds: `drawn` (n, entries), and the values `present` now.

    The two differ only where values of a `plan` change within an episode. What is present is
    written into the models of the `batch` and handed to the `imperfections`; `rows` are the draws
    of each world by name.
    """

    def __init__(
        self, plan: Plan, batch: Batch, imperfections: Imperfections, control_dt: float
    ) -> None:
        num_envs: int = batch.nsim
        self._plan, self._imperfections = plan, imperfections
        self._models = Models(batch)
        self._each_substep = [
            partner(bound, self._models, num_envs)
            for kind, partner in PARTNERS.items()
            if (bound := [one for one in plan.substeps if isinstance(one, kind)])
        ]
        self._courses = Courses(plan, num_envs, control_dt)
        self._startup = np.array(plan.startup, dtype=np.intp)
        self._started = np.zeros(num_envs, dtype=bool)
        self.drawn = np.zeros((num_envs, len(plan.names)))
        self.present = self.drawn.copy() if self._courses else self.drawn
        self.rows: list[dict[str, float]] = [{} for _ in range(num_envs)]

    @property
    def before_substep(self) -> Callable[[Any], None] | None:
        """A function of a world that changes the models before every physics step, if any does."""
        return self._write if self._each_substep else None

    @property
    def change(self) -> bool:
        """Whether anything changes within an episode."""
        return bool(self._courses)

    def start_anew(self, ids: IntArray) -> None:
        """Let the next episodes of the worlds `ids` also draw what is drawn at startup."""
        self._started[ids] = False

    def begin(self, ids: IntArray, drawn: Array) -> None:
        """Start episodes of the worlds `ids` that have `drawn` (m, entries).

        A world that has started keeps what it drew at startup.
        """
        if len(self._startup):
            kept = np.where(self._started[ids, None], self.drawn[ids], drawn)
            drawn[:, self._startup] = kept[:, self._startup]
        self._started[ids] = True
        self._note(ids, drawn)
        self._apply(ids, self._courses.begin(ids, drawn) if self._courses else drawn)

    def advance(self, ids: IntArray, clock: Clock) -> IntArray:
        """Go on to the present control step of the worlds `ids`; those of which a value moved."""
        present = self._courses.advance(ids, self.drawn[ids], clock)
        rows = np.flatnonzero((present != self.present[ids]).any(axis=1))
        moved: IntArray = ids[rows]
        if len(moved):
            self._apply(moved, present[rows])
        return moved

    def _note(self, ids: IntArray, drawn: Array) -> None:
        self.drawn[ids] = drawn
        for world, row in zip(ids.tolist(), drawn.tolist(), strict=True):
            self.rows[world] = dict(zip(self._plan.names, row, strict=True))

    def _apply(self, ids: IntArray, present: Array) -> None:
        self.present[ids] = present
        for one in self._each_substep:
            one.reset(ids)
        self._plan.apply(self._models, ids, present)
        for one in self._each_substep:
            one.draw(ids, present)
        self._imperfections.draw(ids, present)

    def _write(self, world: Any) -> None:
        for one in self._each_substep:
            one.write(world)

    def snapshot(self) -> dict[str, Array]:
        """Copies of what was drawn, and of what is present where that may differ."""
        courses = {"present": self.present.copy()} if self._courses else {}
        return {"context": self.drawn.copy(), **courses, **self._courses.snapshot()}

    def restore(self, memories: Mapping[str, NDArray[Any]], clock: Clock) -> None:
        """Take up the contexts of a snapshot at the control steps of the `clock`."""
        ids = np.arange(len(self.drawn))
        self._started[:] = True
        self._note(ids, np.asarray(memories["context"], dtype=np.float64))
        self._courses.restore(memories, clock)
        if self._plan.names:
            self._apply(ids, memories["present"] if self._courses else self.drawn.copy())


class Courses:
    """The courses and redraws of a `plan` in `num_envs` worlds; `control_dt` is in s."""

    def __init__(self, plan: Plan, num_envs: int, control_dt: float) -> None:
        self._dt = control_dt
        self._moves = [one for one in plan.courses if one.kind != "drift"]
        self._drifts = [one for one in plan.courses if one.kind == "drift"]
        counts = [len(one.columns) for one in self._drifts]
        self._walk = np.zeros((num_envs, sum(counts)))
        none = np.zeros(0, dtype=np.intp)
        self._columns = np.concatenate([none, *(one.columns for one in self._drifts)])
        deviations = [np.full(len(d.columns), d.sources["drift"]) for d in self._drifts]
        self._deviations = np.concatenate([none, *deviations])
        self._low, self._high = (
            np.concatenate([np.zeros(0), *(getattr(one, end) for one in self._drifts)])
            for end in ("low", "high")
        )
        lanes = [
            (StepDraws(one.key, count), Normal(0.0, 1.0))
            for one, count in zip(self._drifts, counts, strict=True)
        ]
        self._numbers = StepNumbers(lanes, num_envs, COURSE) if lanes else None
        self._redraws = Redraws(plan.redraws, num_envs, control_dt) if plan.redraws else None

    def __bool__(self) -> bool:
        return bool(self._moves or self._drifts or self._redraws)

    def begin(self, ids: IntArray, context: Array) -> Array:
        """The values at the start of the episodes of the worlds `ids`, (m, entries).

        `context` (m, entries) is what they have drawn.
        """
        self._walk[ids] = 0.0
        if self._redraws is not None:
            self._redraws.begin(ids, context)
        return self._values(ids, context, np.zeros(len(ids)))

    def advance(self, ids: IntArray, context: Array, clock: Clock) -> Array:
        """The values of the next control step of the worlds `ids`, (m, entries)."""
        steps = clock.steps[ids]
        if self._numbers is not None:
            numbers = self._numbers.at(ids, steps, clock)
            change = context[:, self._deviations] * math.sqrt(self._dt) * numbers
            drawn = context[:, self._columns]
            walked = drawn + self._walk[ids] + np.where(steps[:, None] > 0, change, 0.0)
            self._walk[ids] = np.clip(walked, self._low, self._high) - drawn
        if self._redraws is not None:
            self._redraws.advance(ids, clock)
        return self._values(ids, context, self._dt * steps.astype(np.float64))

    def _values(self, ids: IntArray, context: Array, seconds: Array) -> Array:
        values = context.copy()
        for one in self._moves:
            values[:, one.columns] = one.moved(context, seconds)
        values[:, self._columns] += self._walk[ids]
        if self._redraws is not None:
            values[:, self._redraws.columns] = self._redraws.values[ids]
        return values

    def snapshot(self) -> dict[str, Array]:
        """Copies of what the future of the walks and of the new draws depends on."""
        redraws = {} if self._redraws is None else self._redraws.snapshot()
        return {"course.walk": self._walk.copy(), **redraws} if self else {}

    def restore(self, memories: Mapping[str, NDArray[Any]], clock: Clock) -> None:
        """Go on from a snapshot at the control steps of the `clock`."""
        if self:
            self._walk[...] = memories["course.walk"]
        if self._numbers is not None:
            self._numbers.refill(np.arange(len(self._walk)), clock)
        if self._redraws is not None:
            self._redraws.restore(memories, clock)
