"""Force limits of actuators that fall with the speed of their joints, in every physics step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from sim2real.domains.entries.speed_limits import SpeedLimit
from sim2real.domains.plan import Models
from sim2real.task import Array, IntArray


class SpeedLimits:
    """The `limits` of a plan in n worlds, written into the force ranges of their `models`.

    With the speed v of the joint, in the direction in which the actuator pulls it, and the no-load
    speed w, the limits are those at rest times 1 - v / w (upper) and 1 + v / w (lower), within 0
    and 1.
    """

    def __init__(self, limits: Sequence[SpeedLimit], models: Models, num_envs: int) -> None:
        self._rows, self._dofs, self._signs, self._sources, self._scaled = (
            np.concatenate([getattr(one, name) for one in limits])
            for name in ("rows", "dofs", "signs", "sources", "scaled")
        )
        self._models = models
        self._low, self._high, self._speed = np.ones((3, num_envs, len(self._rows)))

    def reset(self, ids: IntArray) -> None:
        """Put the nominal force ranges of the worlds `ids` back."""
        nominal: Array = self._models.batch.model.actuator_forcerange[self._rows]
        self._write(ids, nominal[:, 0], nominal[:, 1])

    def draw(self, ids: IntArray, context: Array) -> None:
        """Take the limits at rest of the worlds `ids`, and their draws, (m, entries)."""
        model: mujoco.MjModel = self._models.batch.model
        width = model.actuator_gainprm.shape[1]
        gains = self._models["actuator_gainprm"][ids[:, None], self._rows * width]
        low, high = model.actuator_ctrlrange[model.actuator_ctrladr[self._rows]].T
        ends = np.sort(np.stack([gains * low, gains * high]), axis=0)
        ranges = self._models["actuator_forcerange"]
        lowest, highest = (ranges[ids[:, None], 2 * self._rows + end] for end in (0, 1))
        self._low[ids] = np.minimum(np.where(self._scaled, ends[0], lowest), 0.0)
        self._high[ids] = np.maximum(np.where(self._scaled, ends[1], highest), 0.0)
        self._speed[ids] = context[:, self._sources]

    def write(self, world: Any) -> None:
        """Write the limits at the present speeds; `world` has the fields of MjData."""
        qvel = world.qvel
        share = qvel[:, self._dofs] * self._signs / self._speed
        low = self._low * np.clip(1.0 + share, 0.0, 1.0)
        high = self._high * np.clip(1.0 - share, 0.0, 1.0)
        self._write(np.arange(len(qvel)), low, high)

    def _write(self, ids: IntArray, low: Array, high: Array) -> None:
        ranges = self._models["actuator_forcerange"]
        ranges[ids[:, None], 2 * self._rows] = low
        ranges[ids[:, None], 2 * self._rows + 1] = high
