"""A file to which rows of numbers are appended, so that a killed process loses none; needs NumPy.

The file begins with a line of JSON. A row is float64 numbers: the episode, whether the episode has
ended by itself there, the time, the commands, the observations, the extras. A row that was not
written to its end is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError

SUFFIX = ".unfinished"
"""Of the file of a writer that was not closed."""
FORMAT = "sim2real.rows"
EPISODE, ENDED, TIME, FIRST = range(4)
"""Columns of a row; behind them are the commands."""


@dataclass(frozen=True)
class Header:
    """What a row has: names of actuators, sizes of terms and of extras, units, the control step."""

    actuators: tuple[str, ...]
    terms: Mapping[str, int]
    control_dt: float
    units: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, int] = field(default_factory=dict)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of the commands, of each term and of each extra, in the order of a row."""
        return (len(self.actuators), *self.terms.values(), *self.extras.values())

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return FIRST + sum(self.sizes)

    def line(self) -> bytes:
        """The first line of a file."""
        return json.dumps({FORMAT: asdict(self)}).encode() + b"\n"


class RowFile:
    """The file PATH.unfinished, to which rows are appended.

    Raises UserError if PATH or PATH.unfinished exists.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self.header = path.with_name(path.name + SUFFIX), header
        if path.exists():
            raise UserError(f"{path} exists already; choose another name or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            raise UserError(
                f"{self.path} is left from a process that was killed; `sim2real log "
                f"convert {self.path}` makes a log of it; then remove it"
            ) from None
        os.write(self._file, header.line())

    @property
    def closed(self) -> bool:
        """Whether rows can no longer be added."""
        return self._file < 0

    def add(self, row: NDArray[np.float64]) -> None:
        """Append a row, (width,)."""
        data = row.astype("<f8").tobytes()
        while data:
            data = data[os.write(self._file, data) :]

    def terminate(self) -> None:
        """Mark the present episode as one that ended by itself, at the last row that was added."""
        size, end = 8 * self.header.width, os.fstat(self._file).st_size
        if end >= len(self.header.line()) + size:
            os.pwrite(self._file, np.array([1.0], dtype="<f8").tobytes(), end - size + 8 * ENDED)

    def close(self) -> None:
        """End the writing."""
        os.fsync(self._file)
        os.close(self._file)
        self._file = -1

    def rows(self) -> NDArray[np.float64]:
        """All rows that were added, (n, width)."""
        with self.path.open("rb") as file:
            file.readline()
            found: NDArray[np.float64] = np.fromfile(file, dtype="<f8")
        return found.reshape(-1, self.header.width)
