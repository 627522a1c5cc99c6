"""What the episodes of n worlds have drawn, and what of it is there at present."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from sim2real.domains.entries.load_friction import LoadedJoint
from sim2real.domains.entries.speed_limits import SpeedLimit
from sim2real.domains.plan import Models, Plan
from sim2real.simulation.courses import Courses
from sim2real.simulation.randomness import Clock
from sim2real.simulation.signals.imperfections import Imperfections
from sim2real.simulation.signals.load_friction import LoadFrictions
from sim2real.simulation.signals.speed_limits import SpeedLimits
from sim2real.task import Array, IntArray

PARTNERS: dict[type, type[Any]] = {SpeedLimit: SpeedLimits, LoadedJoint: LoadFrictions}
"""What acts before every physics step for what a kind is bound to, in this order."""


class Contexts:
    """The contexts of n worlds: `drawn` (n, entries), and the values `present` now.

    The two differ where a `plan` has courses only. What is present is written into the models of
    the `batch` and handed to the `imperfections`; `rows` are the draws of each world by name.
    """

    def __init__(
        self, plan: Plan, batch: Batch, imperfections: Imperfections, control_dt: float
    ) -> None:
        num_envs: int = batch.nsim
        self._plan, self._imperfections = plan, imperfections
        self._models = Models(batch)
        self._each_substep = [
            partner(bound, self._models, num_envs)
            for kind, partner in PARTNERS.items()
            if (bound := [one for one in plan.substeps if isinstance(one, kind)])
        ]
        self._courses = Courses(plan, num_envs, control_dt)
        self.drawn = np.zeros((num_envs, len(plan.names)))
        self.present = self.drawn.copy() if self._courses else self.drawn
        self.rows: list[dict[str, float]] = [{} for _ in range(num_envs)]

    @property
    def before_substep(self) -> Callable[[Any], None] | None:
        """What changes the models before every physics step, by the fields of a world, if any."""
        return self._write if self._each_substep else None

    @property
    def change(self) -> bool:
        """Whether anything changes within an episode."""
        return bool(self._courses)

    def begin(self, ids: IntArray, drawn: Array) -> None:
        """Start episodes of the worlds `ids` that have `drawn` (m, entries)."""
        self._note(ids, drawn)
        self._apply(ids, self._courses.begin(ids, drawn) if self._courses else drawn)

    def advance(self, ids: IntArray, clock: Clock) -> IntArray:
        """Go on to the present control step of the worlds `ids`; those of which a value moved."""
        present = self._courses.advance(ids, self.drawn[ids], clock)
        rows = np.flatnonzero((present != self.present[ids]).any(axis=1))
        moved: IntArray = ids[rows]
        if len(moved):
            self._apply(moved, present[rows])
        return moved

    def _note(self, ids: IntArray, drawn: Array) -> None:
        self.drawn[ids] = drawn
        for world, row in zip(ids.tolist(), drawn.tolist(), strict=True):
            self.rows[world] = dict(zip(self._plan.names, row, strict=True))

    def _apply(self, ids: IntArray, present: Array) -> None:
        self.present[ids] = present
        for one in self._each_substep:
            one.reset(ids)
        self._plan.apply(self._models, ids, present)
        for one in self._each_substep:
            one.draw(ids, present)
        self._imperfections.draw(ids, present)

    def _write(self, world: Any) -> None:
        for one in self._each_substep:
            one.write(world)

    def snapshot(self) -> dict[str, Array]:
        """Copies of what was drawn, and of what is present where that may differ."""
        courses = {"present": self.present.copy()} if self._courses else {}
        return {"context": self.drawn.copy(), **courses, **self._courses.snapshot()}

    def restore(self, memories: Mapping[str, NDArray[Any]], clock: Clock) -> None:
        """Take up the contexts of a snapshot at the control steps of the `clock`."""
        ids = np.arange(len(self.drawn))
        self._note(ids, np.asarray(memories["context"], dtype=np.float64))
        self._courses.restore(memories, clock)
        if self._plan.names:
            self._apply(ids, memories["present"] if self._courses else self.drawn.copy())
