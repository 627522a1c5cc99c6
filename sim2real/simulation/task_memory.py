"""The memory of a task for each world between control steps, and redraws of its commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError
from sim2real.simulation.randomness import REDRAW, Clock, RowRng
from sim2real.simulation.soundness import check_columns
from sim2real.simulation.worlds import Worlds
from sim2real.task import Array, BoolArray, IntArray, Task, whole_steps

InactiveMemory = tuple[IntArray, dict[str, Array]] | None


class TaskMemory:
    """The arrays `world.memory` and `world.last_action` of a `task`, and its redraws.

    What redraw number r of an episode draws depends on (seed, episode, r) alone.
    """

    def __init__(self, task: Task, world: Worlds) -> None:
        for name, size in task.memory.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise UserError(
                    f"task {task.name!r}: memory {name!r} has the size {size!r}; allowed: a whole "
                    "number from 1"
                )
        self._task, self._world = task, world
        world.memory = {name: np.zeros((world.num_envs, k)) for name, k in task.memory.items()}
        self.commands = type(task).control is not Task.control
        """Whether the task makes the commands, and not the action alone."""
        self._redraws = type(task).redraw is not Task.redraw
        self._every = (
            0
            if task.redraw_s is None
            else whole_steps(task.redraw_s, task.control_dt, f"task {task.name!r}: redraw_s")
        )

    def begin(self, ids: IntArray) -> None:
        """Nothing is remembered at the start of an episode."""
        self._world.last_action[ids] = 0.0
        for values in self._world.memory.values():
            values[ids] = 0.0

    def redraw(self, ids: IntArray, clock: Clock) -> None:
        """Let the task draw the commands of the worlds `ids` at their present control step."""
        if not self._redraws:
            return
        times = clock.steps[ids] // self._every if self._every else np.zeros_like(ids)
        first = (times << 32).tolist()  # blocks of the calls in one redraw
        rng = RowRng(clock.generators, clock.episodes[ids].tolist(), REDRAW, first)
        self._task.redraw(self._world, ids, rng)

    def commanded_at_rest(self, ids: IntArray) -> Array:
        """The commands of the actuators of the worlds `ids` before an episode, (m, nu).

        That is what an action of 0 means to the task: nothing, or the default pose, or to hover.
        """
        world = self._world
        nothing = np.zeros((world.num_envs, world.model.nu))
        before = {name: values.copy() for name, values in world.memory.items()}
        commanded = np.array(self._task.control(world, nothing)[ids], dtype=np.float64)
        for name, values in before.items():
            world.memory[name][...] = values
        actuators = [world.model.actuator(i).name or f"#{i}" for i in range(world.model.nu)]
        check_columns(
            f"task {self._task.name!r}: control at rest",
            actuators,
            commanded,
            world,
            np.ones(len(ids), dtype=bool),
            ids,
        )
        return commanded

    def of_inactive(self, active: BoolArray | None) -> InactiveMemory:
        """The memory of the worlds that stand still, to be put back after the step."""
        if active is None or not self._world.memory:
            return None
        still = np.flatnonzero(~active)
        return still, {name: values[still] for name, values in self._world.memory.items()}

    def after_step(
        self,
        action: NDArray[Any],
        over: BoolArray,
        inactive: InactiveMemory,
        clock: Clock,
        active: BoolArray | None,
    ) -> None:
        """Note the `action` (n, nu) just given; redraw where it is time and nothing is `over`."""
        np.copyto(
            self._world.last_action, action, where=True if active is None else active[:, None]
        )
        if inactive is not None:
            for name, values in inactive[1].items():
                self._world.memory[name][inactive[0]] = values
        if self._every and self._redraws:
            due = (clock.steps % self._every == 0) & ~over
            ids = np.flatnonzero(due if active is None else due & active)
            if len(ids):
                self.redraw(ids, clock)

    def snapshot(self) -> dict[str, Array]:
        """Copies of the task memory, by name."""
        memory = {f"memory.{name}": values.copy() for name, values in self._world.memory.items()}
        return {"last_action": self._world.last_action.copy(), **memory}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the task memory of a snapshot."""
        self._world.last_action[...] = snapshot["last_action"]
        for name, values in self._world.memory.items():
            values[...] = snapshot[f"memory.{name}"]
