"""Delayed signals: a line of past values, or the engine's own delay with a jitter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim2real.domains.entries.stage import (
    Effect,
    Moment,
    Remembering,
    Rows,
    Stage,
    per_number,
)
from sim2real.task import Array, IntArray


class Delay(Stage):
    """The value of `magnitude` seconds ago, interpolated between the control steps.

    For a signal that is constant over a control step (a command) this is its mean over the step, so
    that its impulse is exact. A jitter is added to the delay in each step; what comes out is never
    from the future, nor older than the longest delay.
    """

    name, unit, low, lane_of = "delay", "s", 0.0, "element"
    keeps_length = True

    def prepare(self, effects: Sequence[Effect]) -> None:
        """A line of the last values, (n, slots, k); step s is in the slot s % slots."""
        self._longest = per_number(effects, "longest") / self.control_dt
        without = [np.full(len(one.columns), one.random is None) for one in effects]
        self._without = np.concatenate(without)
        self._jitters = not self._without.all()
        # a power of 2, so that a slot is found by a bitwise and, many times faster than by %
        self._slots = 1 << (math.ceil(self._longest.max()) + 1).bit_length()
        num_envs, width = self.shape
        self._line = self.memory["line"] = np.zeros((num_envs, self._slots, width))
        self._first = np.arange(num_envs)[:, None] * self._slots * width + np.arange(width)
        self._steps, self._fraction = np.zeros(self.shape), np.zeros(self.shape)
        self._whole = np.zeros(self.shape, dtype=np.intp)

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """The delays in control steps: whole ones, and a fraction."""
        steps = drawn / self.control_dt
        whole = np.floor(steps)
        self._steps[ids], self._whole[ids], self._fraction[ids] = steps, whole, steps - whole

    def start(self, rows: Rows, values: Array) -> None:
        """The line is full of `values`."""
        self._line[rows] = values[:, None, self.columns]

    def begin(self, values: Array, moment: Moment) -> None:
        """Fill the line: the first value comes out, at any delay."""
        self.start(moment.ids, values)

    def change(self, values: Array, moment: Moment) -> Array:
        """(1 - fraction) x(whole steps ago) + fraction x(one step before that)."""
        mask, width = self._slots - 1, self.shape[1]
        slots = moment.steps & mask
        self._line[moment.ids, slots] = values
        whole, fraction = self.age(moment)
        slot = slots[:, None] - whole
        first, line = self._first[moment.rows], self._line.reshape(-1)
        newer = line.take(first + (slot & mask) * width)
        older = line.take(first + (slot - 1 & mask) * width)
        passed: Array = newer + fraction * (older - newer)
        return passed

    def age(self, moment: Moment) -> tuple[IntArray, Array]:
        """How old the values that come out are: whole control steps, and a fraction."""
        if not self._jitters:
            return self._whole[moment.rows], self._fraction[moment.rows]
        numbers = moment.numbers[:, self.lanes] / self.control_dt
        steps = self._steps[moment.rows] + np.where(self._without, 0.0, numbers)
        steps = np.minimum(np.maximum(steps, 0.0), self._longest)
        whole = np.floor(steps).astype(np.intp)
        return whole, steps - whole


class Grid:
    """When sensors sample: at (k + phase) / rate of an episode, k = 0, 1, 2, ...

    Made for n worlds and the columns of the `effects`, whose draws are the rates of their columns
    in Hz, then their phases.
    """

    def __init__(self, effects: Sequence[Effect], num_envs: int, control_dt: float) -> None:
        widths = [len(one.columns) for one in effects]
        starts = 2 * np.cumsum([0, *widths[:-1]])
        pairs = list(zip(starts.tolist(), widths, strict=True))
        self._rates = np.concatenate([np.arange(at, at + width) for at, width in pairs])
        self._phases = np.concatenate([np.arange(width) + at + width for at, width in pairs])
        self._dt = control_dt
        self._periods, self._first = np.ones((2, num_envs, sum(widths)))

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """Take the rates and phases of the worlds `ids`, (m, 2 columns)."""
        self._periods[ids] = 1.0 / (drawn[:, self._rates] * self._dt)
        self._first[ids] = drawn[:, self._phases] * self._periods[ids]

    def age(self, moment: Moment) -> Array:
        """Control steps since the last sample, (m, columns)."""
        period = self._periods[moment.rows]
        age = np.mod(moment.steps[:, None] - self._first[moment.rows], period)
        now: Array = np.where(period - age < 1e-6, 0.0, age)  # but for rounding
        return now


class Rate(Delay):
    """The sensor samples this often; a reading stays, noise and all, until the next sample.

    The reading is what the signal was at that time, interpolated between the control steps.
    """

    name, unit, takes_course = "rate", "Hz", False
    open_low, identity = True, None

    def prepare(self, effects: Sequence[Effect]) -> None:
        """Prepare a delay, and the times at which the sensors sample."""
        super().prepare(effects)
        self._grid = Grid(effects, self.shape[0], self.control_dt)

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """The rates and phases."""
        self._grid.draw(ids, drawn)

    def age(self, moment: Moment) -> tuple[IntArray, Array]:
        """The age of a delay that grows until the next sample."""
        age = self._grid.age(moment)
        whole = np.floor(age).astype(np.intp)
        return whole, age - whole


class Sampled(Remembering):
    """A reading, with its noise, stays until the sensor samples again."""

    name, keeps_length = "sampled", True

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The last reading, and when the sensors sample."""
        super().prepare(effects)
        self._grid = Grid(effects, self.shape[0], self.control_dt)

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """The rates and phases."""
        self._grid.draw(ids, drawn)

    def follow(self, last: Array, values: Array, moment: Moment) -> Array:
        """x where there was a sample since the last control step."""
        return np.where(self._grid.age(moment) < 1.0, values, last)


class EngineJitter(Stage):
    """The engine's own delays in s, `delays` (n, columns), written anew in each control step.

    The signal itself passes: the engine delays it.
    """

    name = "jitter"

    delays: Array

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The longest delay, (k,)."""
        self._longest = per_number(effects, "longest")

    def apply(self, values: Array, moment: Moment) -> None:
        """Write the delays of this step; the values stay."""
        delays = self.magnitude[moment.rows] + moment.numbers[:, self.lanes]
        columns: Any = self.columns
        rows: Any = moment.rows
        if not isinstance(columns, slice) and not isinstance(rows, slice):
            rows = moment.ids[:, None]
        self.delays[rows, columns] = np.minimum(np.maximum(delays, 0.0), self._longest)


class CommandDelay(Delay):
    """Commands come late, by any fraction of a control step; one delay for all actuators.

    An entry may override that by `shared`.
    """

    shared = True


class RewardDelay(Delay):
    """Rewards come late; at the end of an episode all that is outstanding arrives."""

    name, shared, takes_course = "reward_delay", True, False
