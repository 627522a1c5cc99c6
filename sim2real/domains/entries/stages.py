"""Imperfections of a signal besides delays: one class for each kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from sim2real.domains.distributions.distribution import Normal
from sim2real.domains.entries.stage import (
    Effect,
    Kind,
    Lapse,
    Moment,
    Remembering,
    Resting,
    Rows,
    Stage,
)
from sim2real.task import Array, IntArray

_ROUNDING = 1e-12


class Scale(Stage):
    """Multiplies by the magnitude."""

    name, sign, each = "scale", "×", "number"
    identity = 1.0

    def change(self, values: Array, moment: Moment) -> Array:
        """x * magnitude."""
        return values * self.magnitude[moment.rows]


class Length(Stage):
    """Quaternions, four neighbouring columns each, as they are; their lengths are noted."""

    name, keeps_length = "length", True

    def prepare(self, effects: Sequence[Effect]) -> None:
        """Make room for the lengths, (n, quaternions, 1)."""
        self.lengths = np.ones((self.shape[0], self.shape[1] // 4, 1))

    def change(self, values: Array, moment: Moment) -> Array:
        """x."""
        self.lengths[moment.rows] = _lengths(values)
        return values


class Unit(Stage):
    """Restores the length of quaternions to that `before` other stages changed them.

    That is 1, except where an environment starts with other lengths, as Gymnasium's do.
    """

    name, keeps_length = "unit", True

    before: Length

    def change(self, values: Array, moment: Moment) -> Array:
        """x |x before| / |x|; what has that length already, and a quaternion of zeros, stays."""
        lengths, wanted = _lengths(values), self.before.lengths[moment.rows]
        stays = (np.abs(lengths - wanted) < _ROUNDING) | (lengths == 0)
        factors = np.where(stays, 1.0, wanted / np.where(stays, 1.0, lengths))
        changed: Array = values * np.repeat(factors[..., 0], 4, axis=1)
        return changed


def _lengths(values: Array) -> Array:
    """The lengths of each four columns, (m, quaternions, 1)."""
    fours = values.reshape(len(values), -1, 4)
    lengths: Array = np.linalg.norm(fours, axis=2, keepdims=True)
    return lengths


class Bias(Stage):
    """Adds an offset, constant in an episode."""

    name, sign, each = "bias", "+", "number"

    def change(self, values: Array, moment: Moment) -> Array:
        """x + magnitude."""
        return values + self.magnitude[moment.rows]


class Noise(Stage):
    """Adds white noise, a number for each control step."""

    name, sign, drawn = "noise", "+", "step"

    def change(self, values: Array, moment: Moment) -> Array:
        """x + a random number."""
        return values + moment.numbers[:, self.lanes]


class Drift(Stage):
    """Adds a random walk from 0, of standard deviation `magnitude` after one second."""

    name, unit, low = "drift", "a square root of a second", 0.0
    random = Normal(0.0, 1.0)

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


class Saturation(Resting):
    """Limits `magnitude` times as far from the rest point as those of the control range."""

    name, unit = "saturation", "of the control range"
    low, high = 0.0, 1.0
    identity: ClassVar[float | None] = 1.0

    def change(self, values: Array, moment: Moment) -> Array:
        """x, no lower than the low limit and no higher than the high one."""
        rest, share = self._rest[moment.rows], self.magnitude[moment.rows]
        low, high = rest + share * (self._low - rest), rest + share * (self._high - rest)
        return np.minimum(np.maximum(values, low), high)


class Quantization(Stage):
    """Rounds to the nearest multiple of `magnitude`; 0 changes nothing."""

    name, low = "quantization", 0.0

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The widths, with 1 in the place of 0, so that it can be divided by."""
        self._width = np.ones(self.shape)

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """The widths."""
        self._width[ids] = np.where(drawn == 0.0, 1.0, drawn)

    def change(self, values: Array, moment: Moment) -> Array:
        """The nearest multiple of the magnitude."""
        width = self._width[moment.rows]
        on_grid = np.rint(values / width) * width
        return np.where(self.magnitude[moment.rows] == 0.0, values, on_grid)


class DeadZone(Resting):
    """Values within `magnitude` of the rest point become it; others come nearer to it by that."""

    name, low = "dead_zone", 0.0

    def change(self, values: Array, moment: Moment) -> Array:
        """x - sign(x - rest) min(|x - rest|, magnitude)."""
        half = self.magnitude[moment.rows]
        return values - np.minimum(np.maximum(values - self._rest[moment.rows], -half), half)


class RateLimit(Remembering):
    """The output changes by no more than `magnitude` in a second."""

    name, unit = "rate_limit", "a second"
    low, open_low, identity = 0.0, True, None

    def follow(self, last: Array, values: Array, moment: Moment) -> Array:
        """x within last ± magnitude control_dt."""
        change = self.magnitude[moment.rows] * self.control_dt
        return np.minimum(np.maximum(values, last - change), last + change)


class Lag(Remembering):
    """First-order lag: the output reaches 63 % of a step in the time `magnitude`.

    The exact solution for an input that is constant over a control step (zero-order hold); the
    output is that at the end of the step, so that a lag of 0 is no lag.
    """

    name, unit, low = "lag", "s", 0.0

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The last output, and how much of it is left after a control step."""
        super().prepare(effects)
        self._left = np.zeros(self.shape)

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """exp(-control_dt / magnitude)."""
        with np.errstate(divide="ignore"):
            self._left[ids] = np.exp(-self.control_dt / drawn)

    def follow(self, last: Array, values: Array, moment: Moment) -> Array:
        """x + left (last - x)."""
        return values + self._left[moment.rows] * (last - values)


class Backlash(Remembering):
    """Play of the width `magnitude`: the output follows once the input has crossed the play."""

    name, low = "backlash", 0.0

    def follow(self, last: Array, values: Array, moment: Moment) -> Array:
        """The last output, within x ± magnitude / 2."""
        half = 0.5 * self.magnitude[moment.rows]
        return np.minimum(np.maximum(last, values - half), values + half)


class Repeat(Remembering):
    """Takes every n-th value, n the magnitude, which stays until the next."""

    name, unit, whole, shared = "repeat", "control steps", True, True
    low = identity = 1.0

    def follow(self, last: Array, values: Array, moment: Moment) -> Array:
        """A new value at the steps that are a multiple of the magnitude."""
        fresh = moment.steps[:, None] % self.magnitude[moment.rows] == 0
        return np.where(fresh, values, last)


class Latency(Stage):
    """The policy computes this long, rounded up to m control steps, from one older observation.

    It starts with the observation of every m-th control step. When it has the action it starts
    again, and the action stays until the next one.
    """

    name, unit, low, shared = "latency", "s", 0.0, True

    def prepare(self, effects: Sequence[Effect]) -> None:
        """The action in effect, the one that is being computed, and m."""
        self._effective = self.memory["acting"] = np.zeros(self.shape)
        self._coming = self.memory["coming"] = np.zeros(self.shape)
        self._count = np.zeros(self.shape)

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """The control steps that it takes."""
        self._count[ids] = np.ceil(drawn / self.control_dt - 1e-9)

    def start(self, rows: Rows, values: Array) -> None:
        """The action was and will be `values`, until one is computed."""
        self._effective[rows] = self._coming[rows] = values[:, self.columns]

    def change(self, values: Array, moment: Moment) -> Array:
        """The action of the observation before last, of those that it started with."""
        rows, count = moment.rows, self._count[moment.rows]
        starts = moment.steps[:, None] % np.maximum(count, 1.0) == 0
        self._effective[rows] = np.where(starts, self._coming[rows], self._effective[rows])
        self._coming[rows] = np.where(starts, values, self._coming[rows])
        return np.where(count == 0, values, self._effective[rows])


class ZeroOrderHold(Lapse):
    """The last value stays, for `steps` control steps."""

    name = "held"

    def prepare(self, effects: Sequence[Effect]) -> None:
        """Prepare a lapse, and the last value."""
        super().prepare(effects)
        self._last = self.memory["last"] = np.zeros(self.shape)

    def start(self, rows: Rows, values: Array) -> None:
        """The last value was `values`."""
        super().start(rows, values)
        self._last[rows] = values[:, self.columns]

    def change(self, values: Array, moment: Moment) -> Array:
        """The output of a lapse, or x without one."""
        left = self.left_of(self._last[moment.rows])
        changed = np.where(self.lapsed(moment), left, values)
        self._last[moment.rows] = changed
        return changed

    def left_of(self, last: Array) -> Array:
        """The output during a lapse after `last`, (m, k): `last` itself."""
        return last


class Dropped(ZeroOrderHold):
    """A value is lost for `steps` control steps: it is 0, or the rest point of the actuator.

    That is a number, or the last value of what is a target.
    """

    name = "dropped"

    def prepare(self, effects: Sequence[Effect]) -> None:
        """Prepare a zero-order hold, and the rest points."""
        super().prepare(effects)
        self._rest = np.concatenate([one.rest.values for one in effects])
        self._holds = np.concatenate([one.rest.holds for one in effects])

    def left_of(self, last: Array) -> Array:
        """The last target, or the number of the rest point."""
        return np.where(self._holds, last, self._rest)


class Stuck(ZeroOrderHold):
    """The last value stays for the rest of the episode."""

    name, takes_steps = "stuck", False

    def lengths(self, effect: Effect) -> Array:
        """Without end."""
        return np.full(len(effect.columns), np.inf)


class SensorSaturation(Saturation):
    """Limits the absolute value of a reading."""

    unit, high = "", np.inf
    open_low, identity = True, None


class Strength(Kind):
    """A factor on the force and its limit, written into the model.

    Of a `dcmotor` that is nothing but constant and resistance it is a factor on 1 / resistance.
    """

    name, sign = "strength", "×"
    low, identity = 0.0, 1.0
