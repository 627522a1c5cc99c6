"""Observation terms of which the last values are shown side by side, as the sensors gave them.

How many is what a task says of a term, or what a user asks for all of them. In a memory that is
asked for the policy finds what it commanded, too: the last action follows as a term of its own,
unless the task observes it already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError, unknown
from sim2real.simulation.worlds import Worlds
from sim2real.task import Array, BoolArray, IntArray, ObservationTerm, Task

LAST_ACTION = "last_action"
"""Name of the term with the last action, where the task observes none."""
OBSERVED = (LAST_ACTION, "action")
"""The names of a term with the last action, that of tasks included."""
AGE = "@-"
"""Stands between the name of a column and its age in control steps, unless that is 0."""


class History:
    """The stacked terms of a `task`, whose sensors give the terms `sensed`, in the worlds `world`.

    Of each term at least `steps` values are shown. `terms` are those that are shown; `newest` the
    columns in them of what was sensed last.
    """

    def __init__(
        self, task: Task, sensed: Sequence[ObservationTerm], world: Worlds, steps: int = 1
    ) -> None:
        _check(task, sensed)
        self._world = world
        self._adds_action = steps > 1 and not {term.name for term in sensed} & {*OBSERVED}
        action = ObservationTerm(LAST_ACTION, world.model.nu, commanded=True)
        self._lines: dict[str, Array] = {}  # (n, count, size) each
        self._parts: list[tuple[slice, Array | None]] = []
        shown: list[ObservationTerm] = []
        newest: list[int] = []
        column = first = 0
        for term in (*sensed, *([action] if self._adds_action else [])):
            line = None
            count = max(task.history.get(term.name, 1), steps)
            if count > 1:
                line = self._lines[term.name] = np.zeros((world.num_envs, count, term.size))
                term = _stacked(term, count)
            size = term.size // count
            self._parts.append((slice(column, column + size), line))
            shown.append(term)
            column, first = column + size, first + term.size
            newest += range(first - size, first)
        self.terms = tuple(shown)
        count = sum(term.size for term in sensed)
        self.newest: IntArray = np.array(newest[:count], dtype=np.int64)

    def begin(self, seen: Array, ids: IntArray) -> Array:
        """The first observations `seen` of the worlds `ids`, (m, k), with their history."""
        if not self._lines:
            return seen
        seen = self._with_action(seen, ids)
        for columns, line in self._parts:
            if line is not None:
                line[ids] = seen[:, None, columns]
        return self._side_by_side(seen, ids)

    def push(self, seen: Array, active: BoolArray | None = None) -> Array:
        """The observations of all worlds, (n, k), with the history of what is `seen`.

        Those that are not `active` (n,) stay as they were.
        """
        if not self._lines:
            return seen
        seen = self._with_action(seen, slice(None))
        rows: slice | IntArray = slice(None) if active is None else np.flatnonzero(active)
        for columns, line in self._parts:
            if line is not None:
                line[rows, :-1] = line[rows, 1:]
                line[rows, -1] = seen[rows, columns]
        return self._side_by_side(seen, slice(None))

    def _with_action(self, seen: Array, rows: slice | IntArray) -> Array:
        if not self._adds_action:
            return seen
        return np.concatenate([seen, self._world.last_action[rows]], axis=1)

    def _side_by_side(self, seen: Array, rows: slice | IntArray) -> Array:
        count = len(seen)
        shown = [
            seen[:, columns] if line is None else line[rows].reshape(count, -1)
            for columns, line in self._parts
        ]
        return np.concatenate(shown, axis=1)

    def snapshot(self) -> dict[str, Array]:
        """Copies of all lines, by name."""
        return {f"history.{name}": line.copy() for name, line in self._lines.items()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Take up the lines of a snapshot."""
        for name, line in self._lines.items():
            line[...] = snapshot[f"history.{name}"]


def newest_of(term: ObservationTerm) -> IntArray:
    """Which columns of a term are of the present control step, (k,)."""
    names = term.columns or ("",) * term.size
    return np.array([index for index, name in enumerate(names) if AGE not in name], dtype=np.int64)


def frames_of(terms: Sequence[ObservationTerm], steps: int) -> IntArray:
    """Which columns of `terms` hold the last `steps` control steps, (steps, k), oldest first.

    Where a term has fewer, its oldest is repeated.
    """
    frames: list[IntArray] = []
    first = 0
    for term in terms:
        size = len(newest_of(term))
        count = term.size // size
        age = np.minimum(np.arange(steps)[::-1], count - 1)
        frames.append(first + (count - 1 - age)[:, None] * size + np.arange(size))
        first += term.size
    return np.concatenate(frames, axis=1)


def _stacked(term: ObservationTerm, count: int) -> ObservationTerm:
    """`count` values of a term; "[0]" is the newest still, "[0@-2]" two control steps before."""
    names = term.columns or tuple(str(index) for index in range(term.size))
    ages = [f"{AGE}{age}" if age else "" for age in reversed(range(count))]
    columns = tuple(f"{name}{age}" for age in ages for name in names)
    return dataclasses.replace(term, size=term.size * count, columns=columns)


def _check(task: Task, sensed: Sequence[ObservationTerm]) -> None:
    names = [term.name for term in sensed]
    for name, count in task.history.items():
        if name not in names:
            raise unknown(f"history of task {task.name!r}", name, names)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UserError(
                f"task {task.name!r}: history of {name!r} is {count!r}; allowed: a whole number "
                "from 1"
            )
