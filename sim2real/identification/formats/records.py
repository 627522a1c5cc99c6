"""The log in a file of appended rows."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from sim2real.errors import UserError, brief
from sim2real.identification.formats.appended import FIRST, FORMAT, Header
from sim2real.identification.formats.rows import SHORTEST, Parts, check_size
from sim2real.plain import parse_json
from sim2real.world import Array, IntArray

LONGEST_HEADER = 2**20


def read_records(path: Path) -> Parts:
    """The parts of a log in a file of rows; UserError if it is none, or has no episode."""
    with path.open("rb") as file:
        header = _header(path, file.readline(LONGEST_HEADER))
        rows = (path.stat().st_size - file.tell()) // (8 * header.width)
        check_size(str(path), rows, header.width)
        data = np.fromfile(file, dtype="<f8", count=rows * header.width)
    try:
        return parts_of_records(header, data.reshape(rows, header.width))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _header(path: Path, line: bytes) -> Header:
    try:
        data = parse_json(line.decode())[FORMAT]
        header = Header(**{**data, "actuators": tuple(data["actuators"])})
        sizes = [int(size) for size in header.sizes]
        if min(sizes) < 1:
            raise ValueError("a size is less than 1")
        return header
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no file of a LogWriter: {brief(str(error))}") from None


def parts_of_records(header: Header, data: Array) -> Parts:
    """The parts of a log in rows (n, width), without rows that `unusable` finds."""
    data = data[~np.isin(np.arange(len(data)), unusable(data))]
    starts = np.flatnonzero(np.diff(data[:, 0], prepend=np.nan))
    bounds = [
        (low, high)
        for low, high in itertools.pairwise([*starts.tolist(), len(data)])
        if high - low >= SHORTEST
    ]
    if not bounds:
        raise UserError(f"{len(data)} rows were added; allowed: an episode of at least {SHORTEST}")
    kept = np.concatenate([data[low:high] for low, high in bounds])
    names = ["commands", *header.terms, *header.extras]
    pieces = np.split(kept[:, FIRST:], np.cumsum(header.sizes)[:-1], axis=1)
    columns: dict[str, Any] = dict(zip(names[1:], pieces[1:], strict=True))
    lengths = [high - low for low, high in bounds]
    return Parts(
        times=kept[:, 2],
        commands=pieces[0],
        actuators=header.actuators,
        observations={name: columns[name] for name in header.terms},
        control_dt=header.control_dt,
        starts=np.cumsum([0, *lengths[:-1]]),
        terminated=np.array([data[low:high, 1].any() for low, high in bounds]),
        units=header.units,
        extras={name: columns[name] for name in header.extras},
    )


def unusable(data: Array) -> IntArray:
    """The rows with a number that is not finite, or a time that is not after the one before."""
    found, last = [], (np.nan, np.nan)
    finite: list[bool] = np.asarray(np.isfinite(data).all(axis=1)).tolist()
    for row, (episode, time) in enumerate(data[:, [0, 2]].tolist()):
        if not finite[row] or (episode == last[0] and time <= last[1]):
            found.append(row)
        else:
            last = (episode, time)
    return np.array(found, dtype=np.int64)
