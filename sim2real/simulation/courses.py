"""The values that an episode's draws have at a control step, where they change within it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.domains.distributions.distribution import Normal
from sim2real.domains.entries.stage import StepDraws
from sim2real.domains.plan import Plan
from sim2real.simulation.randomness import COURSE, Clock
from sim2real.simulation.signals.signal import StepNumbers
from sim2real.task import Array, IntArray


class Courses:
    """The courses of a `plan` in `num_envs` worlds; `control_dt` is in s."""

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

    def __bool__(self) -> bool:
        return bool(self._moves or self._drifts)

    def begin(self, ids: IntArray, context: Array) -> Array:
        """The values at the start of the episodes of the worlds `ids`, (m, entries).

        `context` (m, entries) is what they have drawn.
        """
        self._walk[ids] = 0.0
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
        return self._values(ids, context, self._dt * steps.astype(np.float64))

    def _values(self, ids: IntArray, context: Array, seconds: Array) -> Array:
        values = context.copy()
        for one in self._moves:
            values[:, one.columns] = one.moved(context, seconds)
        values[:, self._columns] += self._walk[ids]
        return values

    def snapshot(self) -> dict[str, Array]:
        """A copy of what the future of the walks depends on."""
        return {"course.walk": self._walk.copy()} if self else {}

    def restore(self, memories: Mapping[str, NDArray[Any]], clock: Clock) -> None:
        """Go on from a snapshot at the control steps of the `clock`."""
        if self:
            self._walk[...] = memories["course.walk"]
        if self._numbers is not None:
            self._numbers.refill(np.arange(len(self._walk)), clock)
