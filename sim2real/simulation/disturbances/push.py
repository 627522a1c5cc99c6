"""Pushes and twists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim2real.domains.entries.push import Impulses
from sim2real.simulation.disturbances.partner import Partner
from sim2real.simulation.randomness import DISTURBANCE, Clock
from sim2real.task import Array, IntArray

BLOCK = 8
"""Pushes that are drawn at once, so that hardly any step loops over the worlds."""


class Pushes(Partner):
    """Impulses, each as a constant force or torque over one control step.

    The interval between two is rounded to control steps, at least one. All that acts at a step
    depends on the episode and the step alone.
    """

    def __init__(self, bound: Sequence[Impulses], num_envs: int, control_dt: float) -> None:
        super().__init__(bound, num_envs, control_dt)
        self._bound, self._dt = bound, control_dt
        self._all = np.arange(num_envs)
        shape = (num_envs, len(bound), BLOCK)
        self._due = np.zeros(shape, dtype=np.int64)  # control step of each push
        self._body = np.zeros(shape, dtype=np.intp)
        self._force = np.zeros((*shape, 6))  # N, N m
        self._block = np.zeros(shape[:2], dtype=np.int64)

    def begin(self, xfrc: Array, ids: IntArray, clock: Clock) -> None:
        """Draw the block that each world is in."""
        self._block[ids] = -1
        self._due[ids] = -1
        self._catch_up(ids, clock)

    def write(self, xfrc: Array, clock: Clock) -> None:
        """Add the pushes of this control step."""
        self._catch_up(self._all, clock)
        worlds, pushes, which = np.nonzero(self._due == clock.steps[:, None, None])
        if len(worlds):
            bodies = self._body[worlds, pushes, which]
            np.add.at(xfrc, (worlds, bodies), self._force[worlds, pushes, which])

    def _catch_up(self, ids: IntArray, clock: Clock) -> None:
        """Draw the next block wherever all pushes of the present one are over."""
        for column, push in enumerate(self._bound):
            late = ids
            while len(late := late[self._due[late, column, -1] < clock.steps[late]]):
                self._draw(push, column, late, clock)

    def _draw(self, push: Impulses, column: int, ids: IntArray, clock: Clock) -> None:
        """Draw the next block of one push in the worlds `ids`."""
        self._block[ids, column] += 1
        blocks = zip(clock.episodes[ids].tolist(), self._block[ids, column].tolist(), strict=True)
        uniforms = np.array(
            [
                clock.generators.at(episode, DISTURBANCE, block, push.key).random((4, BLOCK))
                for episode, block in blocks
            ]
        )
        gaps = np.maximum(np.rint(push.every.quantile(uniforms[:, 0]) / self._dt), 1)
        last = np.maximum(self._due[ids, column, -1], 0)  # the first interval starts at step 0
        self._due[ids, column] = last[:, None] + np.cumsum(gaps, axis=1)
        size = push.impulse.quantile(uniforms[:, 1]) / self._dt
        angle = 2 * np.pi * uniforms[:, 2]
        along = [size] if len(push.axes) == 1 else [size * np.cos(angle), size * np.sin(angle)]
        for axis, part in zip(push.axes, along, strict=True):
            self._force[ids, column, :, axis] = part
        self._body[ids, column] = push.bodies[(uniforms[:, 3] * len(push.bodies)).astype(np.intp)]
