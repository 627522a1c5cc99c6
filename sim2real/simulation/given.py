"""Worlds whose episodes have values of the context that are given, not drawn."""

from __future__ import annotations

import numpy as np

from sim2real.simulation.simulation import Simulation
from sim2real.task import Array, IntArray


class GivenContexts(Simulation):
    """A simulation that takes the values in `given`, (n, entries), in place of what it draws.

    NaN leaves a value to the draw. A change takes effect at the next reset of a world; the caller
    keeps the values within the supports of the domain, which was checked for these.
    """

    given: Array | None = None

    def _draw_contexts(self, ids: IntArray) -> None:
        if self.given is None or not self.plan.names:
            super()._draw_contexts(ids)
            return
        drawn = self._draws.draw(self._generators, self._episodes[ids].tolist())
        given = self.given[ids]
        self._contexts.begin(ids, self.plan.settle(np.where(np.isnan(given), drawn, given)))
