"""Constant forces and torques."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim2real.domains.entries.force import ConstantForce
from sim2real.simulation.disturbances.partner import Partner
from sim2real.simulation.randomness import Clock
from sim2real.task import Array, IntArray


class ConstantForces(Partner):
    """Forces that are the same over an episode, unless they take a course."""

    def __init__(self, bound: Sequence[ConstantForce], num_envs: int, control_dt: float) -> None:
        super().__init__(bound, num_envs, control_dt)
        self._bound = bound
        self._force = np.zeros((num_envs, len(self.bodies), 6))

    def change(self, ids: IntArray, context: Array) -> None:
        """The forces are those of the `context`."""
        self._force[ids] = 0.0
        for one in self._bound:
            places = np.searchsorted(self.bodies, one.bodies)
            self._force[ids[:, None], places, one.axis] += context[:, one.sources]

    def begin(self, xfrc: Array, ids: IntArray, clock: Clock) -> None:
        """Add the forces."""
        xfrc[ids[:, None], self.bodies] += self._force[ids]

    def write(self, xfrc: Array, clock: Clock) -> None:
        """Add the forces."""
        xfrc[:, self.bodies] += self._force
