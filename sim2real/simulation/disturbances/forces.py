"""Impulses, forces and torques, written into every world's `xfrc_applied` at each control step."""

from __future__ import annotations

import numpy as np

from sim2real.domains.binding.bound_forces import Push
from sim2real.domains.plan import Plan
from sim2real.simulation.randomness import DISTURBANCE, Clock
from sim2real.task import Array, IntArray

BLOCK = 8
"""Pushes that are drawn at once, so that hardly any step loops over the worlds."""


class Disturbances:
    """The forces of a `plan` on the bodies of `num_envs` worlds.

    A push is its impulse as a constant force over one control step, at the body's centre of mass,
    in the world's frame; a twist as a constant torque. The interval between two is rounded to
    control steps, at least one. What acts at a step depends on the episode and the step alone:
    there is nothing to save.
    """

    def __init__(self, plan: Plan, num_envs: int, control_dt: float) -> None:
        self._plan = plan
        self._all = np.arange(num_envs)
        self._dt = control_dt
        bodies = [push.bodies for push in plan.pushes] + [force.bodies for force in plan.forces]
        self._bodies = np.unique(np.concatenate(bodies or [np.zeros(0, dtype=np.intp)]))
        self._constant = np.zeros((num_envs, len(self._bodies), 6))
        shape = (num_envs, len(plan.pushes), BLOCK)
        self._due = np.zeros(shape, dtype=np.int64)  # control step of each push
        self._body = np.zeros(shape, dtype=np.intp)  # index into self._bodies
        self._force = np.zeros((*shape, 6))  # N, N m
        self._block = np.zeros(shape[:2], dtype=np.int64)

    def __bool__(self) -> bool:
        return len(self._bodies) > 0

    def begin(self, xfrc: Array, clock: Clock, ids: IntArray, context: Array) -> None:
        """Take up the episodes of the worlds `ids` at the control steps where they are.

        `xfrc` (n, bodies, 6) and `context` (n, entries) are those of all worlds. Constant forces
        are written at once.
        """
        self.change(ids, context[ids])
        xfrc[ids[:, None], self._bodies] = self._constant[ids]
        self._block[ids] = -1
        self._due[ids] = -1
        self._catch_up(ids, clock)

    def change(self, ids: IntArray, context: Array) -> None:
        """Let the constant forces of the worlds `ids` be those of the `context`, (m, entries)."""
        self._constant[ids] = 0.0
        for force in self._plan.forces:
            places = np.searchsorted(self._bodies, force.bodies)
            self._constant[ids[:, None], places, force.axis] += context[:, force.sources]

    def write(self, xfrc: Array, clock: Clock) -> None:
        """Write what acts at the control steps of the `clock` into `xfrc` (n, bodies, 6)."""
        xfrc[:, self._bodies] = self._constant
        if not self._plan.pushes:
            return
        self._catch_up(self._all, clock)
        worlds, pushes, which = np.nonzero(self._due == clock.steps[:, None, None])
        if len(worlds):
            bodies = self._bodies[self._body[worlds, pushes, which]]
            np.add.at(xfrc, (worlds, bodies), self._force[worlds, pushes, which])

    def _catch_up(self, ids: IntArray, clock: Clock) -> None:
        """Draw the next block wherever all pushes of the present one are over."""
        for column, push in enumerate(self._plan.pushes):
            late = ids
            while len(late := late[self._due[late, column, -1] < clock.steps[late]]):
                self._draw(push, column, late, clock)

    def _draw(self, push: Push, column: int, ids: IntArray, clock: Clock) -> None:
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
        struck = push.bodies[(uniforms[:, 3] * len(push.bodies)).astype(np.intp)]
        self._body[ids, column] = np.searchsorted(self._bodies, struck)
