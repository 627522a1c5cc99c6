"""Values that are drawn anew within an episode, after intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.domains.distributions.distribution import Uniform
from sim2real.domains.entries.course import Redraw
from sim2real.domains.entries.stage import StepDraws
from sim2real.simulation.randomness import COURSE, Clock
from sim2real.simulation.signals.signal import StepNumbers
from sim2real.task import Array, IntArray


class Redraws:
    """The context entries that are drawn anew within the episodes of `num_envs` worlds.

    `values` (n, k) are the present ones of the `columns` (k,). A value comes at the first control
    step that is not before the end of its interval, and the next interval begins at that end.
    """

    def __init__(self, redraws: Sequence[Redraw], num_envs: int, control_dt: float) -> None:
        self._redraws, self._dt = redraws, control_dt
        self.columns = np.concatenate([one.columns for one in redraws])
        self.values = np.zeros((num_envs, len(self.columns)))
        self._end = np.zeros((num_envs, len(redraws)))  # s, of the present interval
        ends = np.cumsum([len(one.columns) for one in redraws]).tolist()
        self._parts = [
            slice(end - len(one.columns), end) for one, end in zip(redraws, ends, strict=True)
        ]
        # of each redraw one lane for the interval, then one for each value
        draws = [StepDraws(one.key, 1 + len(one.columns)) for one in redraws]
        lanes = [(draw, Uniform(0.0, 1.0)) for draw in draws]
        self._numbers = StepNumbers(lanes, num_envs, COURSE)

    def begin(self, ids: IntArray, context: Array) -> None:
        """Start with what the episodes of the worlds `ids` have drawn, (m, entries)."""
        self.values[ids] = context[:, self.columns]
        self._end[ids] = 0.0

    def advance(self, ids: IntArray, clock: Clock) -> None:
        """Draw anew in those of the worlds `ids` in which an interval ends at this control step."""
        steps = clock.steps[ids]
        numbers = self._numbers.at(ids, steps, clock)
        ended = self._end[ids] <= self._dt * steps[:, None] + 1e-9  # but for rounding
        for k, (one, part) in enumerate(zip(self._redraws, self._parts, strict=True)):
            rows = np.flatnonzero(ended[:, k])
            drawn = numbers[rows, part.start + k : part.stop + k + 1]
            self._end[ids[rows], k] += one.every.quantile(drawn[:, 0])
            later = steps[rows] > 0  # an episode starts with the value of its context
            self.values[ids[rows[later]], part] = one.distribution.quantile(drawn[later, 1:])

    def snapshot(self) -> dict[str, Array]:
        """Copies of the present values and of the ends of their intervals."""
        return {"redraw.values": self.values.copy(), "redraw.ends": self._end.copy()}

    def restore(self, memories: Mapping[str, NDArray[Any]], clock: Clock) -> None:
        """Go on from a snapshot at the control steps of the `clock`."""
        self.values[...] = memories["redraw.values"]
        self._end[...] = memories["redraw.ends"]
        self._numbers.refill(np.arange(len(self.values)), clock)
