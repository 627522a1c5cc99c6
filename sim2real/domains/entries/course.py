"""Draws that change within an episode: a step, a ramp, a random walk, or new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import model_validator

from sim2real.config import Config
from sim2real.domains.distributions.distribution import Distribution, DistributionField
from sim2real.task import Array, IntArray

_KINDS = ("step", "ramp", "drift", "every")


class Course(Config):
    """How the value of an entry changes in an episode: exactly one of its kinds.

    - `step`: the time in s from which the drawn value is in effect; before, all is nominal.
    - `ramp`: the time in s from which the nominal value moves to the drawn one, `over` so many s.
    - `drift`: the standard deviation, after a second, of a random walk that starts at the drawn
      value and stays within the range that it is drawn from.
    - `every`: the time in s after which the value is drawn anew, again and again; of a range, each
      interval has its own.
    """

    step: DistributionField | None = None
    ramp: DistributionField | None = None
    over: DistributionField | None = None
    drift: DistributionField | None = None
    every: DistributionField | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Course:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            got = ", ".join(given) or "none"
            raise ValueError(f"a course needs exactly one of {', '.join(_KINDS)}; got {got}")
        if (self.kind == "ramp") != (self.over is not None):
            raise ValueError("a ramp needs 'over', in s" if self.ramp else "'over' is for a ramp")
        times = self.draws() if self.every is None else {"every": self.every}
        for name, distribution in times.items():
            low, high = distribution.support
            if not 0 <= low <= high < np.inf:
                got = distribution.describe()
                raise ValueError(f"{name} must be at least 0 and bounded, got {got}")
        return self

    @property
    def kind(self) -> str:
        """Which course it is."""
        return next(kind for kind in _KINDS if getattr(self, kind) is not None)

    def draws(self) -> dict[str, Distribution]:
        """The distributions that are drawn from once an episode, by name."""
        names = ("step", "ramp", "drift", "over")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        return {name: one for name, one in given.items() if one is not None}

    def describe(self) -> str:
        """The course in one phrase."""
        if self.every is not None:
            return f"drawn anew every {self.every.describe()} s"
        drawn = {name: distribution.describe() for name, distribution in self.draws().items()}
        form = {
            "step": "from {step} s on",
            "ramp": "reached from {ramp} s on over {over} s",
            "drift": "drifting by {drift} a square root of a second",
        }
        return form[self.kind].format(**drawn)


@dataclass(frozen=True, eq=False)
class Redraw:
    """Context entries `columns` (k,) that are drawn anew from `distribution` after each interval.

    An interval has as many s as are drawn from `every`; all numbers are drawn under the `key`.
    """

    columns: IntArray
    distribution: Distribution
    every: Distribution
    key: int


@dataclass(frozen=True, eq=False)
class Changing:
    """A course, bound to the context entries `columns` (k,) that it changes.

    `neutral` (k,) are the values of an entry that does nothing; a drift stays between `low` and
    `high`, (k,). `sources` are the context entries of the course's own draws, by name; a walk has
    its numbers under the `key`.
    """

    kind: str
    columns: IntArray
    neutral: Array
    low: Array
    high: Array
    sources: dict[str, int]
    key: int

    def moved(self, context: Array, seconds: Array) -> Array:
        """Values, (m, k), of a step or a ramp `seconds` (m,) after the start of an episode."""
        drawn = context[:, self.columns]
        since = seconds - context[:, self.sources[self.kind]]
        share = (since >= -1e-9).astype(np.float64)  # but for rounding
        if self.kind == "ramp":
            over = context[:, self.sources["over"]]
            share = np.clip(since / np.maximum(over, 1e-9), 0.0, 1.0)
        part = share[:, None]
        between = self.neutral + part * (drawn - self.neutral)
        return np.where(part >= 1.0, drawn, between)
