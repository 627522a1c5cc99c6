"""What can befall a signal, one class a kind: stages with a memory for each world.

A stage knows nothing of physics: values (m, k) go in, values (m, k) come out, for the m worlds
`rows` of n. It serves actuators, sensors and rewards alike, our simulation and foreign ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sim2real.domains.effects import Effect
from sim2real.task import Array, BoolArray, IntArray

Rows = slice | IntArray
"""Worlds: all of them as a slice, or some by their ids."""
Columns = slice | IntArray


@dataclass(frozen=True)
class Moment:
    """A control step of m worlds: their `rows` and `ids`, which step of the episode it is, (m,),
    and its random `numbers`, (m, lanes)."""

    rows: Rows
    ids: IntArray
    steps: IntArray
    numbers: Array


class Stage:
    """One kind of imperfection of some numbers of a signal, in n worlds.

    `magnitude` (n, k) is drawn once an episode; where it is the `identity` the signal passes
    untouched, to the last bit. `memory` holds, by name, all that a stage keeps between control
    steps: arrays with the worlds first.
    """

    identity: ClassVar[float | None] = 0.0

    def __init__(
        self, effects: Sequence[Effect], lanes: IntArray, num_envs: int, control_dt: float
    ) -> None:
        self.columns = as_slice(np.concatenate([effect.columns for effect in effects]))
        self.sources = np.concatenate([effect.sources for effect in effects])
        self.lanes = as_slice(lanes)
        self.control_dt = control_dt
        self.shape = (num_envs, sum(len(effect.columns) for effect in effects))
        self.magnitude: Array = np.zeros(self.shape)
        self.memory: dict[str, Array] = {}
        self._idle: BoolArray = np.zeros(self.shape, dtype=bool)
        self._any_idle = False
        self.prepare(effects)

    def prepare(self, effects: Sequence[Effect]) -> None:
        """Make what this kind needs besides. By default nothing."""

    def draw(self, ids: IntArray, context: Array) -> None:
        """Take the magnitudes of the worlds `ids` from their contexts, (m, entries)."""
        if not len(self.sources):
            return
        drawn = context[:, self.sources]
        self.magnitude[ids] = drawn
        if self.identity is not None:
            self._idle[ids] = drawn == self.identity
            self._any_idle = bool(self._idle.any())

    def start(self, rows: Rows, values: Array) -> None:
        """Remember as if the signal had always been `values`, (m, columns of the signal)."""

    def apply(self, values: Array, moment: Moment) -> None:
        """Change the stage's columns of `values`, (m, columns of the signal), in place."""
        given = values[:, self.columns]
        changed = self.change(given, moment)
        if self._any_idle:
            changed = np.where(self._idle[moment.rows], given, changed)
        values[:, self.columns] = changed

    def change(self, values: Array, moment: Moment) -> Array:
        """New values for the stage's columns, (m, k)."""
        raise NotImplementedError("def change(self, values, moment) -> (m, k) array")


class Scale(Stage):
    """A factor."""

    identity = 1.0

    def change(self, values: Array, moment: Moment) -> Array:
        """x * magnitude."""
        return values * self.magnitude[moment.rows]


class Bias(Stage):
    """An offset that stays."""

    def change(self, values: Array, moment: Moment) -> Array:
        """x + magnitude."""
        return values + self.magnitude[moment.rows]


class Noise(Stage):
    """White noise."""

    def change(self, values: Array, moment: Moment) -> Array:
        """x + a random number."""
        return values + moment.numbers[:, self.lanes]


class Drift(Stage):
    """A random walk from 0, of standard deviation `magnitude` after one second."""

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The walk."""
        self._walk = self.memory["walk"] = np.zeros(self.shape)
        self._root = math.sqrt(self.control_dt)

    def start(self, rows: Rows, values: Array) -> None:
        """The walk begins at 0."""
        self._walk[rows] = 0.0

    def change(self, values: Array, moment: Moment) -> Array:
        """x + walk; the walk takes a normal step of variance magnitude² control_dt."""
        walk = self._walk[moment.rows]
        changed = values + walk
        step = self.magnitude[moment.rows] * self._root
        self._walk[moment.rows] = walk + step * moment.numbers[:, self.lanes]
        return changed


class Saturation(Stage):
    """Limits: `magnitude` times those of the signal."""

    identity = None

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The limits of a saturation of 1, and those of each world."""
        self._limits = np.stack(
            [np.concatenate([getattr(one, end) for one in effects]) for end in ("low", "high")]
        )
        self._low, self._high = np.zeros(self.shape), np.zeros(self.shape)

    def draw(self, ids: IntArray, context: Array) -> None:
        """The limits of the worlds."""
        super().draw(ids, context)
        self._low[ids], self._high[ids] = self.magnitude[ids] * self._limits[:, None]

    def change(self, values: Array, moment: Moment) -> Array:
        """x, no lower than the low limit and no higher than the high one."""
        low, high = self._low[moment.rows], self._high[moment.rows]
        return np.minimum(np.maximum(values, low), high)


class Quantization(Stage):
    """A grid of width `magnitude`."""

    def draw(self, ids: IntArray, context: Array) -> None:
        """A width of 0, which is idle, stands as 1, so that it can be divided by."""
        super().draw(ids, context)
        self.magnitude[ids] = np.where(self._idle[ids], 1.0, self.magnitude[ids])

    def change(self, values: Array, moment: Moment) -> Array:
        """The nearest multiple of the magnitude."""
        width = self.magnitude[moment.rows]
        return np.rint(values / width) * width


class DeadZone(Stage):
    """Values within `magnitude` of 0 are 0, all others come nearer to 0 by it."""

    def change(self, values: Array, moment: Moment) -> Array:
        """x - sign(x) min(|x|, magnitude)."""
        half = self.magnitude[moment.rows]
        return values - np.minimum(np.maximum(values, -half), half)


class Remembering(Stage):
    """A stage that remembers its last output."""

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The last output."""
        self._last = self.memory["last"] = np.zeros(self.shape)

    def start(self, rows: Rows, values: Array) -> None:
        """The last output was `values`."""
        self._last[rows] = values[:, self.columns]

    def change(self, values: Array, moment: Moment) -> Array:
        """What `follow` makes of the last output; it is remembered in its turn."""
        last = self._last[moment.rows]
        changed = self.follow(last, values, self.magnitude[moment.rows], moment)
        self._last[moment.rows] = changed
        return changed

    def follow(self, last: Array, values: Array, magnitude: Array, moment: Moment) -> Array:
        """The output after `last`, each (m, k)."""
        raise NotImplementedError("def follow(self, last, values, magnitude, moment) -> (m, k)")


class RateLimit(Remembering):
    """The output changes by no more than `magnitude` in a second."""

    identity = None

    def follow(self, last: Array, values: Array, magnitude: Array, moment: Moment) -> Array:
        """x within last ± magnitude control_dt."""
        change = magnitude * self.control_dt
        return np.minimum(np.maximum(values, last - change), last + change)


class Lag(Remembering):
    """A first-order lag with the time constant `magnitude`, in s.

    The exact solution for an input that is held over a control step (zero-order hold); the output
    is that at the end of the step, so that a lag of 0 is no lag.
    """

    def draw(self, ids: IntArray, context: Array) -> None:
        """What is left of the last output after a control step: exp(-control_dt / magnitude)."""
        super().draw(ids, context)
        with np.errstate(divide="ignore"):
            self.magnitude[ids] = np.exp(-self.control_dt / self.magnitude[ids])

    def follow(self, last: Array, values: Array, magnitude: Array, moment: Moment) -> Array:
        """x + left (last - x)."""
        return values + magnitude * (last - values)


class Backlash(Remembering):
    """Play of the width `magnitude`: the output follows once the input has crossed the play."""

    def follow(self, last: Array, values: Array, magnitude: Array, moment: Moment) -> Array:
        """The last output, within x ± magnitude / 2."""
        half = 0.5 * magnitude
        return np.minimum(np.maximum(last, values - half), values + half)


class Repeat(Remembering):
    """Every value stays for `magnitude` control steps."""

    identity = 1.0

    def draw(self, ids: IntArray, context: Array) -> None:
        """Where nothing was drawn yet, a value stays for one step."""
        super().draw(ids, context)

    def follow(self, last: Array, values: Array, magnitude: Array, moment: Moment) -> Array:
        """A new value at the steps that are a multiple of the magnitude."""
        fresh = moment.steps[:, None] % np.maximum(magnitude, 1.0) == 0
        return np.where(fresh, values, last)


class Lapse(Stage):
    """With the probability `magnitude` in each control step, something else for some steps."""

    lasts_for_ever: ClassVar[bool] = False

    def prepare(self, effects: Sequence[Effect]) -> None:
        """How long a lapse lasts, (k,), and how much of it is left."""
        lengths = np.concatenate([np.full(len(one.columns), one.steps) for one in effects])
        self._length = np.where(self.lasts_for_ever, np.inf, lengths)
        self._left = self.memory["left"] = np.zeros(self.shape)

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


class Dropped(Lapse):
    """Lost values are 0."""

    def change(self, values: Array, moment: Moment) -> Array:
        """0 in a lapse, else x."""
        return np.where(self.lapsed(moment), 0.0, values)


class Held(Lapse):
    """The last value stays."""

    def prepare(self, effects: Sequence[Effect]) -> None:
        """As of a lapse, and the last value."""
        super().prepare(effects)
        self._last = self.memory["last"] = np.zeros(self.shape)

    def start(self, rows: Rows, values: Array) -> None:
        """The last value was `values`."""
        super().start(rows, values)
        self._last[rows] = values[:, self.columns]

    def change(self, values: Array, moment: Moment) -> Array:
        """The last value in a lapse, else x."""
        changed = np.where(self.lapsed(moment), self._last[moment.rows], values)
        self._last[moment.rows] = changed
        return changed


class Stuck(Held):
    """The last value stays until the end of the episode."""

    lasts_for_ever = True


class Delay(Stage):
    """The value of `magnitude` seconds ago, interpolated between the control steps.

    For a signal that is held over a control step (a command) this is its mean over the step, so
    that its impulse is exact. A jitter is added to the delay in each step; what comes out is never
    from the future, nor older than the longest delay.
    """

    def prepare(self, effects: Sequence[Effect]) -> None:
        """A line of the last values, (n, slots, k); step s is in the slot s % slots."""
        longest = np.concatenate([np.full(len(one.columns), one.longest) for one in effects])
        self._longest = longest / self.control_dt
        self._jitters = any(effect.random is not None for effect in effects)
        self._slots = math.ceil(self._longest.max()) + 2
        num_envs, width = self.shape
        self._line = self.memory["line"] = np.zeros((num_envs, self._slots, width))
        self._origin = np.arange(num_envs)[:, None] * self._slots * width + np.arange(
            width
        )  # of each number's line in memory
        self._whole = np.zeros(self.shape, dtype=np.intp)
        self._fraction = np.zeros(self.shape)
        if self._jitters:
            none = [effect.random is None for effect in effects]
            sizes = [len(effect.columns) for effect in effects]
            self._without = np.repeat(none, sizes)

    def draw(self, ids: IntArray, context: Array) -> None:
        """The delays in control steps: whole ones, and a fraction."""
        super().draw(ids, context)
        steps = self.magnitude[ids] / self.control_dt
        self.magnitude[ids] = steps
        self._whole[ids] = np.floor(steps)
        self._fraction[ids] = steps - self._whole[ids]
        if self._jitters:
            self._idle[ids] &= self._without
            self._any_idle = bool(self._idle.any())

    def start(self, rows: Rows, values: Array) -> None:
        """The line is full of `values`."""
        self._line[rows] = values[:, None, self.columns]

    def change(self, values: Array, moment: Moment) -> Array:
        """(1 - fraction) x(whole steps ago) + fraction x(one step before that)."""
        slots = moment.steps % self._slots
        self._line[moment.ids, slots] = values
        whole, fraction = self._whole[moment.rows], self._fraction[moment.rows]
        if self._jitters:
            whole, fraction = self._jittered(moment)
        width = self.shape[1]
        slot = slots[:, None] - whole
        origin, line = self._origin[moment.rows], self._line.reshape(-1)
        newer = line.take(origin + slot % self._slots * width)
        older = line.take(origin + (slot - 1) % self._slots * width)
        return np.where(fraction == 0.0, newer, newer + fraction * (older - newer))

    def _jittered(self, moment: Moment) -> tuple[IntArray, Array]:
        numbers = moment.numbers[:, self.lanes] / self.control_dt
        steps = self.magnitude[moment.rows] + np.where(self._without, 0.0, numbers)
        steps = np.minimum(np.maximum(steps, 0.0), self._longest)
        whole = np.floor(steps).astype(np.intp)
        return whole, steps - whole


class EngineJitter(Stage):
    """The engine's own delays in s, `delays` (n, columns), written anew in each control step.

    The signal itself passes: the engine delays it.
    """

    identity = None
    delays: Array

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The longest delay, (k,)."""
        self._longest = np.concatenate([np.full(len(one.columns), one.longest) for one in effects])

    def apply(self, values: Array, moment: Moment) -> None:
        """Write the delays of this step; the values stay."""
        delays = self.magnitude[moment.rows] + moment.numbers[:, self.lanes]
        columns: Any = self.columns
        rows: Any = moment.rows
        if not isinstance(columns, slice) and not isinstance(rows, slice):
            rows = moment.ids[:, None]
        self.delays[rows, columns] = np.minimum(np.maximum(delays, 0.0), self._longest)


def as_slice(indices: IntArray) -> Columns:
    """Neighbouring indices as a slice, which NumPy reads and writes without a copy."""
    if len(indices) and (np.diff(indices) == 1).all():
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices
