"""Columns of a CSV file: a line of names, then numbers, with commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sim2real.errors import UserError, brief
from sim2real.identification.formats.mapping import LogMapping
from sim2real.identification.formats.rows import Table, check_size, list_columns

MOST_TEXT = 2**30
"""Bytes of a file, at most."""
LONGEST_LINE = 2**20


def read_csv(path: Path, mapping: LogMapping) -> Table:
    """The columns of a file that the `mapping` names; the others are there without values.

    An empty cell is NaN; true and false are 1 and 0. Raises UserError for a file that is too large
    or no table, and for a cell that is no number.
    """
    if path.stat().st_size > MOST_TEXT:
        raise UserError(f"{path} is larger than {MOST_TEXT:,} bytes; split it, or use Parquet")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(file, mapping.named)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file: {brief(str(error))}") from None


def _read(file: io.TextIOWrapper, names: Sequence[str]) -> Table:
    first = file.readline(LONGEST_LINE)
    delimiter = max(",;\t", key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    if not any(header):
        raise UserError("there is no line of column names; allowed: one, before the numbers")
    wanted = [name for one in names for name in (one, *list_columns(header, one))]
    found = {name: header.index(name) for name in dict.fromkeys(wanted) if name in header}
    if not found:
        return {name: np.zeros(0) for name in header}
    cells = _numbers(file, delimiter, list(found.values()))
    numbers = np.fromiter(cells, dtype=np.float64).reshape(-1, len(found))
    return {name: np.zeros(0) for name in header} | dict(zip(found, numbers.T, strict=True))


def _numbers(file: io.TextIOWrapper, delimiter: str, places: Sequence[int]) -> Iterator[float]:
    """The numbers at some `places` of each row, one after the other."""
    for count, cells in enumerate(csv.reader(file, delimiter=delimiter), start=1):
        check_size("the file", count, len(places))
        if not any(cells):
            continue
        if len(cells) <= max(places):
            raise UserError(f"row {count} has {len(cells)} cells, fewer than there are names")
        try:
            yield from [_number(cells[place]) for place in places]
        except ValueError as error:
            raise UserError(f"row {count}: {error}") from None


_WORDS = {"": np.nan, "true": 1.0, "false": 0.0}


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        word = cell.strip().lower()
        if word in _WORDS:
            return float(_WORDS[word])
        raise ValueError(f"{brief(cell)} is no number") from None
