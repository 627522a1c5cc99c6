"""A stage of a signal's path: one kind of imperfection, with a memory for each world.

A stage knows nothing of physics: values (m, k) go in, values (m, k) come out, for the m worlds
`rows` of n. It serves actuators, sensors and rewards alike, our simulation and foreign ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim2real.domains.binding.effects import Effect
from sim2real.domains.writes import as_slice
from sim2real.task import Array, IntArray

Rows = slice | IntArray
"""Worlds: all of them as a slice, or some by their ids."""


@dataclass(slots=True)
class Moment:
    """A control step of m worlds: their `rows` and `ids`, which step of the episode it is, (m,),
    and its random `numbers`, (m, lanes)."""

    rows: Rows
    ids: IntArray
    steps: IntArray
    numbers: Array


class Stage:
    """One kind of imperfection of some numbers of a signal, in n worlds.

    `magnitude` (n, k) is what an episode has drawn; `lanes` are the columns of a step's random
    numbers that are the stage's. `memory` holds, by name, all that it keeps between control steps:
    arrays with the worlds first.
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
        """Make what this kind needs besides. By default nothing."""

    def draw(self, ids: IntArray, drawn: Array) -> None:
        """Compute what follows from the magnitudes `drawn` (m, k) for the worlds `ids`."""

    def start(self, rows: Rows, values: Array) -> None:
        """Remember as if the signal had always been `values`, (m, columns of the signal)."""

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
