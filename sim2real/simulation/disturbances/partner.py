"""The base of all partners: the effect of a kind of disturbance at run time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim2real.simulation.randomness import Clock
from sim2real.task import Array, IntArray


class Partner:
    """Forces on the `bodies` of n worlds, of all disturbances of one kind, `bound` to the model."""

    def __init__(self, bound: Sequence[Any], num_envs: int, control_dt: float) -> None:
        rows = [np.atleast_1d(one.bodies) for one in bound]
        self.bodies: IntArray = np.unique(np.concatenate(rows))

    def change(self, ids: IntArray, context: Array) -> None:
        """Take the `context` of the worlds `ids`, (m, entries)."""

    def begin(self, xfrc: Array, ids: IntArray, clock: Clock) -> None:
        """Take up the episodes of the worlds `ids`; add what acts on their first states."""

    def write(self, xfrc: Array, clock: Clock) -> None:
        """Add what acts at the control steps of the `clock` to `xfrc_applied`, (n, bodies, 6)."""
