"""Forces and torques on bodies and joints, written into every world at each control step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim2real.domains.entries.force import ConstantForce
from sim2real.domains.entries.push import Impulses
from sim2real.domains.entries.stage import Effect, Load
from sim2real.domains.plan import Plan
from sim2real.simulation.disturbances.force import ConstantForces
from sim2real.simulation.disturbances.partner import Partner
from sim2real.simulation.disturbances.push import Pushes
from sim2real.simulation.randomness import DISTURBANCE, Clock
from sim2real.simulation.signals.signal import SignalPath
from sim2real.task import Array, BoolArray, IntArray

PARTNERS: dict[type, type[Partner]] = {ConstantForce: ConstantForces, Impulses: Pushes}
"""The partner of each type that a kind is bound to, in the order in which they act."""


class Disturbances:
    """The forces of a `plan` on the bodies and joints of `num_envs` worlds.

    Forces act at the centres of mass of bodies, in the world's frame. What acts at a step depends
    on the episode and the step alone, except for loads, whose memories belong to a snapshot.
    `world` has the fields of MjData, with the worlds first: `xfrc_applied` (n, bodies, 6) and
    `qfrc_applied` (n, nv) are written.
    """

    def __init__(self, plan: Plan, num_envs: int, control_dt: float, world: Any) -> None:
        self._world = world
        self._all = np.arange(num_envs)
        self._partners = [
            partner(bound, num_envs, control_dt)
            for kind, partner in PARTNERS.items()
            if (bound := [one for one in plan.disturbances if isinstance(one, kind)])
        ]
        on_bodies, on_joints = (_acting_on(plan, where) for where in ("body", "joint"))
        self._on_bodies = SignalPath(on_bodies, num_envs, control_dt, DISTURBANCE)
        self._on_joints = SignalPath(on_joints, num_envs, control_dt, DISTURBANCE)
        for stage in (*self._on_bodies.stages, *self._on_joints.stages):
            if isinstance(stage, Load):
                stage.world = world
        self._bodies = _union(
            [*(one.bodies for one in self._partners), *(one.columns // 6 for one in on_bodies)]
        )
        self._dofs = _union([one.columns for one in on_joints])

    def __bool__(self) -> bool:
        return len(self._bodies) + len(self._dofs) > 0

    def begin(self, clock: Clock, ids: IntArray, context: Array) -> None:
        """Take up the episodes of the worlds `ids` at the control steps where they are.

        `context` (n, entries) is that of all worlds. Constant forces are written at once.
        """
        if not self:
            return
        self.change(ids, context[ids])
        xfrc = self._world.xfrc_applied
        xfrc[ids[:, None], self._bodies] = 0.0
        for partner in self._partners:
            partner.begin(xfrc, ids, clock)
        if self._on_bodies:
            self._on_bodies.rest(ids, np.zeros((len(ids), xfrc[0].size)))
        if self._on_joints:
            self._world.qfrc_applied[ids[:, None], self._dofs] = 0.0
            self._on_joints.rest(ids, np.zeros((len(ids), self._world.qfrc_applied.shape[1])))

    def change(self, ids: IntArray, context: Array) -> None:
        """Let the worlds `ids` take what they have drawn from the `context`, (m, entries)."""
        for partner in self._partners:
            partner.change(ids, context)
        self._on_bodies.draw(ids, context)
        self._on_joints.draw(ids, context)

    def write(self, clock: Clock, active: BoolArray | None = None) -> None:
        """Write what acts at the control steps of the `clock`; `active` (n,) are not paused."""
        if not self:
            return
        xfrc = self._world.xfrc_applied
        xfrc[:, self._bodies] = 0.0
        for partner in self._partners:
            partner.write(xfrc, clock)
        if self._on_bodies:
            flat = self._on_bodies.apply(xfrc.reshape(len(xfrc), -1), clock, active)
            xfrc[...] = flat.reshape(xfrc.shape)
        if self._on_joints:
            qfrc = self._world.qfrc_applied
            qfrc[:, self._dofs] = 0.0
            qfrc[...] = self._on_joints.apply(qfrc, clock, active)

    def snapshot(self) -> dict[str, Array]:
        """Copies of the memories of loads, by name."""
        both = self._on_bodies.snapshot() | self._on_joints.snapshot()
        return {f"disturbances.{name}": values for name, values in both.items()}

    def restore(self, memories: Mapping[str, Array], clock: Clock, context: Array) -> None:
        """Continue from a snapshot, with the `context` (n, entries), where the `clock` stands."""
        self.begin(clock, self._all, context)
        own = {name.removeprefix("disturbances."): memories[name] for name in memories}
        self._on_bodies.restore(own, clock)
        self._on_joints.restore(own, clock)


def _acting_on(plan: Plan, where: str) -> list[Effect]:
    """The loads on bodies ("body") or joints ("joint")."""
    return [one for one in plan.loads if issubclass(one.stage, Load) and one.stage.acts_on == where]


def _union(rows: list[IntArray]) -> IntArray:
    """Each of the rows once, sorted."""
    return np.unique(np.concatenate([np.zeros(0, dtype=np.intp), *rows]))
