"""The physics steps of a control step: as many each time, or drawn for each."""

from __future__ import annotations

import numpy as np

from sim2real.domains.distributions.draw_keys import key_of
from sim2real.domains.entries.control_period import Period
from sim2real.domains.entries.stage import StepDraws
from sim2real.simulation.randomness import PERIOD, Clock
from sim2real.simulation.signals.signal import StepNumbers
from sim2real.simulation.worlds import Worlds
from sim2real.task import BoolArray, IntArray


class ControlSteps:
    """Takes the control steps of n worlds and writes their lengths in s to `world.step_s`, (n,)."""

    def __init__(self, period: Period, world: Worlds) -> None:
        self._substeps = period.substeps
        self._timestep: float = world.model.opt.timestep
        self._all = np.arange(world.num_envs)
        self._numbers: StepNumbers | None = None
        if period.drawn is not None:
            draws = [(StepDraws(key_of("control_period"), 1), period.drawn)]
            self._numbers = StepNumbers(draws, world.num_envs, PERIOD)
        world.step_s = np.full(world.num_envs, period.seconds)

    def take(
        self, world: Worlds, lagged: bool, clock: Clock, active: BoolArray | None
    ) -> BoolArray:
        """One control step of the `active` worlds; return which became unstable, (n,)."""
        if self._numbers is None:
            return world.step_physics(self._substeps, lagged, active)
        ids = self._all if active is None else np.flatnonzero(active)
        counts = self._drawn(self._numbers, ids, clock)
        world.step_s[ids] = counts[ids] * self._timestep
        unstable: BoolArray = np.zeros(len(self._all), dtype=bool)
        done = 0
        for count in np.unique(counts[ids]).tolist():
            going = (counts >= count) & ~unstable
            unstable |= world.step_physics(count - done, lagged, going)
            done = count
        return unstable

    def _drawn(self, numbers: StepNumbers, ids: IntArray, clock: Clock) -> IntArray:
        """Physics steps of the present control step, (n,), at least 1; 0 where not in `ids`."""
        counts = np.zeros(len(self._all), dtype=np.int64)
        seconds = numbers.at(ids, clock.steps[ids], clock)[:, 0]
        counts[ids] = np.maximum(1, np.rint(seconds / self._timestep))
        return counts

    def restore(self, clock: Clock) -> None:
        """Take up the draws at the control steps of the `clock`."""
        if self._numbers is not None:
            self._numbers.refill(self._all, clock)
