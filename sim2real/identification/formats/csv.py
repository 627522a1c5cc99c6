"""Columns of a CSV file: a line of names, then numbers, with commas, semicolons or tabs.

A file that is written here has its mapping beside it, which is found where none is given.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim2real import files
from sim2real.errors import UserError, brief
from sim2real.identification.formats.mapping import LogMapping, load_mapping
from sim2real.identification.formats.rows import Parts, Table, check_size, list_columns
from sim2real.identification.formats.units import UNITS
from sim2real.plain import dump_yaml
from sim2real.world import Array

MOST_TEXT = 2**30
"""Bytes of a file, at most."""
LONGEST_LINE = 2**20
DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""Of the files that are written, by suffix."""
MAPPING = ".mapping.yaml"
"""The end of the name of the mapping of a file, in place of its suffix."""
TIME, EPISODE, TERMINATED = "time", "episode", "terminated"


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


def mapping_beside(path: Path) -> LogMapping:
    """The mapping that lies beside a file; UserError if there is none."""
    beside = path.with_suffix(MAPPING)
    if not beside.is_file():
        raise UserError(
            f"{path} needs a mapping: a YAML file that says which column is what, given or as "
            f"{beside}"
        )
    return load_mapping(beside)


def write_csv(path: Path, log: Parts) -> None:
    """Write a log as a table, and its mapping beside it; each is whole or absent.

    The numbers are read again as they are, with times from 0 on. Units that are not in `UNITS` are
    left out.
    """
    columns, mapping = _columns(log)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=DELIMITERS[path.suffix.lower()], lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*[one.tolist() for one in columns.values()], strict=True))
    files.write_text(path.with_suffix(MAPPING), dump_yaml(mapping))
    files.write_text(path, text.getvalue())


def _columns(log: Parts) -> tuple[dict[str, Array], dict[str, Any]]:
    """The columns of a log, by name, and the mapping that makes the log of them."""
    rows = np.arange(len(log.times))
    episode = np.searchsorted(log.starts, rows, side="right") - 1
    last = np.append(episode[1:] != episode[:-1], True)
    columns = {TIME: log.times, EPISODE: episode, TERMINATED: log.terminated[episode] & last}
    columns[TERMINATED] = columns[TERMINATED].astype(np.int64)
    mapping: dict[str, Any] = {
        "time": TIME,
        "episode": EPISODE,
        "terminated": TERMINATED,
        "control_dt": float(log.control_dt),
        "commands": {},
    }
    for name, command in zip(log.actuators, log.commands.T, strict=True):
        columns[f"command/{name}"] = command
        mapping["commands"][name] = f"command/{name}"
    for kind, terms in (("observations", log.observations), ("extras", log.extras)):
        mapping[kind] = {}
        for name, values in terms.items():
            whole = f"{kind}/{name}"
            columns |= {f"{whole}[{k}]": one for k, one in enumerate(values.T)}
            known = UNITS.get(log.units.get(name, ""), (0.0, ""))[0] == 1.0
            unit = {"unit": log.units[name]} if known and name in log.units else {}
            mapping[kind][name] = {"columns": [whole], **unit}
    return columns, mapping
