"""Forces and torques on bodies and joints, written into every world at each control step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim2real.domains.binding.bound_forces import Push
from sim2real.domains.entries.stage import Load, Stage
from sim2real.domains.plan import Plan
from sim2real.simulation.randomness import DISTURBANCE, Clock
from sim2real.simulation.signals.signal import SignalPath
from sim2real.task import Array, BoolArray, IntArray

BLOCK = 8
"""Pushes that are drawn at once, so that hardly any step loops over the worlds."""


class Disturbances:
    """The forces of a `plan` on the bodies and joints of `num_envs` worlds.

    A push is its impulse as a constant force over one control step, at the body's centre of mass,
    in the world's frame; a twist as a constant torque. The interval between two is rounded to
    control steps, at least one. All that acts at a step depends on the episode and the step alone,
    except for kinds of the user's own, whose memories belong to a snapshot. `world` has the fields
    of MjData, with the worlds first: `xfrc_applied` (n, bodies, 6) and `qfrc_applied` (n, nv) are
    written.
    """

    def __init__(self, plan: Plan, num_envs: int, control_dt: float, world: Any) -> None:
        self._plan, self._world = plan, world
        self._all = np.arange(num_envs)
        self._dt = control_dt
        self._on_bodies, self._on_joints = (
            SignalPath(
                [one for one in plan.loads if _acts_on(one.stage) == where],
                num_envs,
                control_dt,
                DISTURBANCE,
            )
            for where in ("body", "joint")
        )
        for stage in (*self._on_bodies.stages, *self._on_joints.stages):
            if isinstance(stage, Load):
                stage.world = world
        bodies: list[Any] = [push.bodies for push in plan.pushes]
        bodies += [force.bodies for force in plan.forces]
        bodies += [one.columns // 6 for one in plan.loads if _acts_on(one.stage) == "body"]
        self._bodies = np.unique(np.concatenate(bodies or [np.zeros(0, dtype=np.intp)]))
        joints = [one.columns for one in plan.loads if _acts_on(one.stage) == "joint"]
        self._dofs = np.unique(np.concatenate(joints or [np.zeros(0, dtype=np.intp)]))
        self._constant = np.zeros((num_envs, len(self._bodies), 6))
        shape = (num_envs, len(plan.pushes), BLOCK)
        self._due = np.zeros(shape, dtype=np.int64)  # control step of each push
        self._body = np.zeros(shape, dtype=np.intp)  # index into self._bodies
        self._force = np.zeros((*shape, 6))  # N, N m
        self._block = np.zeros(shape[:2], dtype=np.int64)

    def __bool__(self) -> bool:
        return len(self._bodies) + len(self._dofs) > 0

    def begin(self, clock: Clock, ids: IntArray, context: Array) -> None:
        """Take up the episodes of the worlds `ids` at the control steps where they are.

        `context` (n, entries) is that of all worlds. Constant forces are written at once.
        """
        if not self:
            return
        self.change(ids, context[ids])
        self._world.xfrc_applied[ids[:, None], self._bodies] = self._constant[ids]
        self._block[ids] = -1
        self._due[ids] = -1
        self._catch_up(ids, clock)
        if self._on_bodies:
            self._on_bodies.rest(ids, np.zeros((len(ids), self._world.xfrc_applied[0].size)))
        if self._on_joints:
            self._world.qfrc_applied[ids[:, None], self._dofs] = 0.0
            self._on_joints.rest(ids, np.zeros((len(ids), self._world.qfrc_applied.shape[1])))

    def change(self, ids: IntArray, context: Array) -> None:
        """Let the constant forces of the worlds `ids` be those of the `context`, (m, entries)."""
        self._constant[ids] = 0.0
        for force in self._plan.forces:
            places = np.searchsorted(self._bodies, force.bodies)
            self._constant[ids[:, None], places, force.axis] += context[:, force.sources]
        self._on_bodies.draw(ids, context)
        self._on_joints.draw(ids, context)

    def write(self, clock: Clock, active: BoolArray | None = None) -> None:
        """Write what acts at the control steps of the `clock`; `active` (n,) are not paused."""
        if not self:
            return
        xfrc = self._world.xfrc_applied
        xfrc[:, self._bodies] = self._constant
        if self._plan.pushes:
            self._push(xfrc, clock)
        if self._on_bodies:
            flat = self._on_bodies.apply(xfrc.reshape(len(xfrc), -1), clock, active)
            xfrc[...] = flat.reshape(xfrc.shape)
        if self._on_joints:
            qfrc = self._world.qfrc_applied
            qfrc[:, self._dofs] = 0.0
            qfrc[...] = self._on_joints.apply(qfrc, clock, active)

    def snapshot(self) -> dict[str, Array]:
        """Copies of the memories of kinds of the user's own, by name."""
        both = self._on_bodies.snapshot() | self._on_joints.snapshot()
        return {f"disturbances.{name}": values for name, values in both.items()}

    def restore(self, memories: Mapping[str, Array], clock: Clock, context: Array) -> None:
        """Continue from a snapshot, with the `context` (n, entries), where the `clock` stands."""
        self.begin(clock, self._all, context)
        own = {name.removeprefix("disturbances."): memories[name] for name in memories}
        self._on_bodies.restore(own, clock)
        self._on_joints.restore(own, clock)

    def _push(self, xfrc: Array, clock: Clock) -> None:
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


def _acts_on(stage: type[Stage]) -> str:
    assert issubclass(stage, Load)
    return stage.acts_on
