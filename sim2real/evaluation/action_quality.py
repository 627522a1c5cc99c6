"""How a policy acts, apart from its reward: smoothness, effort, saturation, feet that slip.

Of an episode of T control steps with actions a_t, in halves of their range:

    change      root mean square of a_t - a_{t-1}
    jitter      root mean square of a_t - 2 a_{t-1} + a_{t-2}
    saturation  share of the actions at an end of their range
    force       root mean square of the actuators' forces, N or N m
    energy      sum of |force x velocity| of the actuators, J
    slip        mean speed of feet on the floor, m/s, where the task has feet
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.simulation import Simulation
from sim2real.task import Array, BoolArray, IntArray

END = 1e-3
"""How close to an end of its range an action counts as there, in halves of the range."""
MOST = 1e100
SUMS = ("change", "jitter", "saturation", "force", "energy", "slip")


class ActionQuality:
    """The measures of the present episodes of all worlds of a simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._world = simulation
        _ = simulation.actuator_force, simulation.actuator_velocity  # computed from now on
        low, high = simulation.action_space.low, simulation.action_space.high
        self._middle, self._half = (high + low) / 2.0, (high - low) / 2.0
        shape = (simulation.num_envs, simulation.model.nu)
        self._before, self._earlier = np.zeros(shape), np.zeros(shape)
        self._steps = np.zeros(simulation.num_envs, dtype=np.int64)
        self._sums = {name: np.zeros(simulation.num_envs) for name in SUMS}
        self._has_feet = simulation.task.slip(simulation) is not None

    def begin(self, ids: IntArray) -> None:
        """Start from zero in the worlds `ids`."""
        self._steps[ids] = 0
        for values in self._sums.values():
            values[ids] = 0.0

    def add(self, action: NDArray[Any], active: BoolArray) -> None:
        """Add the control step that the `active` worlds took with an `action`, (n, nu)."""
        with np.errstate(over="ignore", invalid="ignore"):  # of a world that became unstable
            for name, values in self._step(action).items():
                finite = np.where(np.isfinite(values), np.minimum(values, MOST), 0.0)
                self._sums[name][active] += finite[active]
        self._steps[active] += 1

    def _step(self, action: NDArray[Any]) -> dict[str, Array]:
        """What a control step adds to the sums, (n,) each."""
        world, now = self._world, (action - self._middle) / self._half
        change = now - self._before
        bend = change - (self._before - self._earlier)
        force = np.array(world.actuator_force)
        power = np.abs(force * world.actuator_velocity).sum(axis=1)
        steps: dict[str, Array] = {
            "change": _mean_square(change) * (self._steps > 0),
            "jitter": _mean_square(bend) * (self._steps > 1),
            "saturation": (np.abs(now) >= 1.0 - END).mean(axis=1),
            "force": _mean_square(force),
            "energy": power * world.step_s,
        }
        slip = world.task.slip(world) if self._has_feet else None
        if slip is not None:
            steps["slip"] = slip
        self._earlier, self._before = self._before, now
        return steps

    def of(self, world: int) -> dict[str, float]:
        """The measures of the present episode of a world."""
        steps = int(self._steps[world])
        sums = {name: float(values[world]) for name, values in self._sums.items()}
        found = {
            "change": np.sqrt(sums["change"] / max(steps - 1, 1)),
            "jitter": np.sqrt(sums["jitter"] / max(steps - 2, 1)),
            "saturation": sums["saturation"] / steps,
            "force": np.sqrt(sums["force"] / steps),
            "energy": sums["energy"],
        }
        if self._has_feet:
            found["slip"] = sums["slip"] / steps
        return {name: float(value) for name, value in found.items()}


def _mean_square(values: Array) -> Array:
    squares: Array = np.einsum("ij,ij->i", values, values) / values.shape[1]
    return squares
