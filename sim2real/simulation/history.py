"""Observation terms of which the last values are shown side by side, as the sensors gave them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError, unknown
from sim2real.task import Array, BoolArray, IntArray, ObservationTerm, Task


class History:
    """The stacked terms of a `task`, whose sensors give the terms `sensed`, in `num_envs` worlds.

    `terms` are those that are shown; `newest` the columns in them of what was sensed last.
    """

    def __init__(self, task: Task, sensed: Sequence[ObservationTerm], num_envs: int) -> None:
        _check(task, sensed)
        self._lines: dict[str, Array] = {}  # (n, count, size) each
        self._parts: list[tuple[slice, Array | None]] = []
        shown: list[ObservationTerm] = []
        newest: list[int] = []
        column = first = 0
        for term in sensed:
            line = None
            count = task.history.get(term.name, 1)
            if count > 1:
                line = self._lines[term.name] = np.zeros((num_envs, count, term.size))
                term = _stacked(term, count)
            size = term.size // count
            self._parts.append((slice(column, column + size), line))
            shown.append(term)
            column, first = column + size, first + term.size
            newest += range(first - size, first)
        self.terms = tuple(shown)
        self.newest: IntArray = np.array(newest, dtype=np.int64)

    def begin(self, seen: Array, ids: IntArray) -> Array:
        """The first observations `seen` of the worlds `ids`, (m, k), with their history."""
        if not self._lines:
            return seen
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
        rows: slice | IntArray = slice(None) if active is None else np.flatnonzero(active)
        for columns, line in self._parts:
            if line is not None:
                line[rows, :-1] = line[rows, 1:]
                line[rows, -1] = seen[rows, columns]
        return self._side_by_side(seen, slice(None))

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


def _stacked(term: ObservationTerm, count: int) -> ObservationTerm:
    """`count` values of a term; "[0]" is the newest still, "[0@-2]" two control steps before."""
    names = term.columns or tuple(str(index) for index in range(term.size))
    ages = [f"@-{age}" if age else "" for age in reversed(range(count))]
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
