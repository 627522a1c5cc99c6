"""The columns of a file, as the parts of a log."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sim2real.errors import UserError, unknown
from sim2real.identification.formats.mapping import Columns, LogMapping
from sim2real.world import Array, BoolArray, IntArray

MOST_BYTES = 2**31
"""Bytes that a log takes in memory, at most: 8 for each number."""
SHORTEST = 2
"""Rows of an episode, at least."""

Table = Mapping[str, Array]
"""Columns of equal length, (n,), by name; those of a list are named "action[0]", "action[1]"."""


@dataclass(frozen=True)
class Parts:
    """The arguments of a Log."""

    times: Array
    commands: Array
    actuators: tuple[str, ...]
    observations: Mapping[str, Array]
    control_dt: float
    starts: IntArray
    terminated: BoolArray
    units: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Array] = field(default_factory=dict)


def check_size(what: str, rows: int, columns: int) -> None:
    """UserError if a table of numbers would take more memory than allowed."""
    if rows * columns * 8 > MOST_BYTES:
        raise UserError(
            f"{what} has {rows:,} rows of {columns} columns; allowed: {MOST_BYTES:,} bytes in "
            "all; split it, or name fewer columns"
        )


def parts_of(table: Table, mapping: LogMapping) -> Parts:
    """The parts of the log that the `mapping` makes of a `table`.

    Raises UserError for columns that are not there, values that are no numbers, times that do not
    increase, and a table without an episode of two rows.
    """
    chosen = _rows(table, mapping)
    raw = {name: column(table, name)[chosen] for name in mapping.named}
    bounds = _bounds(table, mapping, chosen)
    kept = np.concatenate([np.arange(low, high) for low, high in bounds])
    lengths = np.array([high - low for low, high in bounds])
    last = [high - 1 for _, high in bounds]
    raw_times = raw[mapping.time.columns[0]]
    times = mapping.time.values(raw_times - raw_times[0])[:, 0]
    _check_clock(times, bounds, mapping)

    def values(one: Columns) -> Array:
        whole = one.values(np.concatenate([raw[name] for name in one.columns], axis=1))
        return np.asarray(whole[kept], dtype=np.float64)

    def group(columns: Mapping[str, Columns]) -> dict[str, Array]:
        return {name: values(one) for name, one in columns.items()}

    commands = group(mapping.commands)
    ended = raw[mapping.terminated][last, 0] if mapping.terminated else np.zeros(len(last))
    return Parts(
        times=times[kept],
        commands=np.concatenate(list(commands.values()), axis=1),
        actuators=tuple(commands),
        observations=group(mapping.observations),
        control_dt=mapping.control_dt or _typical_step(times, bounds),
        starts=np.cumsum([0, *lengths[:-1]]),
        terminated=ended != 0,
        units={n: one.si for n, one in (mapping.observations | mapping.extras).items() if one.si},
        extras=group(mapping.extras),
    )


def column(table: Table, name: str) -> Array:
    """A column (n, 1), or all columns of a list, (n, k); UserError if there is none."""
    found = [name] if name in table else list_columns(table, name)
    if not found:
        raise unknown("column", name, table)
    return np.stack([np.asarray(table[one], dtype=np.float64) for one in found], axis=1)


def list_columns(names: Sequence[str] | Table, name: str) -> list[str]:
    """Which of the `names` are those of the list `name`: "action[0]", "action[1]", ..."""
    found: list[str] = []
    while f"{name}[{len(found)}]" in names:
        found.append(f"{name}[{len(found)}]")
    return found


def _rows(table: Table, mapping: LogMapping) -> IntArray:
    """The rows that count: those where `only_where` is not 0, and all values are numbers."""
    use = ~_left_out(table, mapping)
    for name in mapping.named:
        wrong = ~np.isfinite(column(table, name)).all(axis=1) & use
        if wrong.any() and mapping.missing == "refuse":
            raise UserError(
                f"column {name!r} has no number in {int(wrong.sum())} rows, the first is row "
                f"{int(np.argmax(wrong)) + 1}; fill them, or leave them out: `missing: drop`"
            )
        use &= ~wrong
    return np.flatnonzero(use)


def _left_out(table: Table, mapping: LogMapping) -> BoolArray:
    """Rows where the column `only_where` is 0, (n,)."""
    if mapping.only_where is None:
        return np.zeros(len(column(table, mapping.time.columns[0])), dtype=bool)
    left_out: BoolArray = column(table, mapping.only_where)[:, 0] == 0
    return left_out


def _bounds(table: Table, mapping: LogMapping, chosen: IntArray) -> list[tuple[int, int]]:
    """First row and end of each episode of two rows or more, counted in the rows `chosen`."""
    number = np.cumsum(_left_out(table, mapping))[chosen].astype(np.float64)
    new = np.diff(number, prepend=-1.0) != 0
    if mapping.episode:
        new |= np.diff(column(table, mapping.episode)[chosen, 0], prepend=np.nan) != 0
    starts = np.flatnonzero(new).tolist()
    pairs = itertools.pairwise([*starts, len(chosen)])
    bounds = [(a, b) for a, b in pairs if b - a >= SHORTEST]
    if not bounds:
        raise UserError(
            f"{len(chosen)} rows can be used; allowed: an episode of at least {SHORTEST} rows"
        )
    return bounds


def _check_clock(times: Array, bounds: Sequence[tuple[int, int]], mapping: LogMapping) -> None:
    for low, high in bounds:
        back = np.diff(times[low:high]) <= 0
        if back.any():
            row = low + 1 + int(np.argmax(back))
            raise UserError(
                f"column {mapping.time.columns[0]!r} goes from {times[row - 1]:g} s to "
                f"{times[row]:g} s in row {row + 1}: time must increase; sort the rows, remove "
                "copies, or name the column in which a new episode begins: `episode`"
            )


def _typical_step(times: Array, bounds: Sequence[tuple[int, int]]) -> float:
    return float(np.median(np.concatenate([np.diff(times[low:high]) for low, high in bounds])))


def held_at(times: Array, values: Array, at: Array) -> Array:
    """What was given last, (m, k), of `values` (n, k) at `times` (n,); NaN before the first."""
    last = np.searchsorted(times, at, side="right") - 1
    found: Array = np.where((last >= 0)[:, None], values[np.maximum(last, 0)], np.nan)
    return found
