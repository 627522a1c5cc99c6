"""The log of a run: rows that are appended, then one file that `Log.load` reads, with its mapping.

The column `driven` is 0 where no command was sent: the robot was passive, or it was a dry run.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.deployment.runner.interface import Array
from sim2real.deployment.runner.policy import Controller
from sim2real.errors import UserError, unknown
from sim2real.extras import needed
from sim2real.identification.formats.appended import ENDED, EPISODE, FIRST, TIME, Header, RowFile

TOPIC = "/robot"
DRIVEN, STAMP = "driven", "stamp"
MOST_OLD = 0.05
"""Share of rows without a new reading, from which the time is the runner's own."""
MAPPING = ".mapping.yaml"
"""Written as JSON, which YAML contains."""

Columns = dict[str, Array]


class Recorder:
    """Appends the rows of a run to PATH.unfinished; `finish` makes PATH and its mapping of them.

    Raises UserError for a name with another suffix, one that is taken, and a missing package.
    """

    def __init__(self, path: Path, controller: Controller) -> None:
        check_log(path)
        self.path = path
        contract = controller.contract
        names = tuple(contract["action"]["names"])
        units = {
            term["name"]: term["unit"] for term in contract["observation"]["terms"] if term["unit"]
        }
        extras = {"asked": len(names), "state": 1, STAMP: 1, "late": 1, "work": 1}
        header = Header(names, controller.terms, contract["control_dt"], units, extras)
        self._file = RowFile(path, header)
        self._row = np.zeros(header.width)

    def add(self, time: float, sent: Array | None, observed: Array | None, *extras: Any) -> None:
        """Append a row; NaN stands for what is None. `extras` are in the order of the header."""
        header = self._file.header
        unknown_sent = np.full(len(header.actuators), np.nan)
        unknown_seen = np.full(sum(header.terms.values()), np.nan)
        self._row[TIME] = time
        self._row[FIRST:] = np.concatenate(
            [
                unknown_sent if sent is None else sent,
                unknown_seen if observed is None else observed,
                *(np.atleast_1d(one) for one in extras),
            ]
        )
        self._file.add(self._row)

    def begin_episode(self) -> None:
        """Let the next row begin an episode."""
        self._row[EPISODE] += 1.0

    def terminate(self) -> None:
        """Mark the last row as the one at which the episode ended by itself: a fall."""
        self._file.terminate()

    def finish(self) -> None:
        """Write the log and its mapping, each whole or not at all, and remove the rows."""
        self._file.close()
        rows, header = self._file.rows(), self._file.header
        columns = _columns(rows, header)
        WRITERS[self.path.suffix](self.path, columns, header)
        self._file.path.unlink()


def check_log(path: Path) -> None:
    """UserError for the name of a log that cannot be written."""
    if path.suffix not in WRITERS:
        raise unknown("suffix of a log", path.suffix, WRITERS)
    package = {".parquet": "pyarrow", ".mcap": "mcap"}.get(path.suffix)
    if package and importlib.util.find_spec(package) is None:
        needed(package, f"a log as {path.suffix}", "logs")
    try:
        taken = path.exists()
    except (OSError, ValueError):
        raise UserError(f"{str(path)[:200]!r} is no path of a file") from None
    if taken:
        raise UserError(f"{path} exists already; choose another name or remove it")


def _columns(rows: Array, header: Header) -> Columns:
    """All numbers by the name of their column."""
    parts = np.split(rows[:, FIRST:], np.cumsum(header.sizes)[:-1], axis=1)
    found: Columns = {
        "time": rows[:, TIME],
        "episode": rows[:, EPISODE],
        "terminated": rows[:, ENDED],
    }
    driven: NDArray[np.bool_] = np.asarray(np.isfinite(rows[:, FIRST:]).all(axis=1))
    found[DRIVEN] = np.asarray(driven, dtype=np.float64)
    found |= {f"commands[{name}]": parts[0][:, k] for k, name in enumerate(header.actuators)}
    for name, values in zip([*header.terms, *header.extras], parts[1:], strict=True):
        whole = name if values.shape[1] == 1 else f"{name}[{{}}]"
        found |= {whole.format(k): values[:, k] for k in range(values.shape[1])}
    found[STAMP] = np.where(driven & ~_new(found[STAMP], driven), np.nan, found[STAMP])
    return found


def _new(stamps: Array, driven: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The driven rows whose stamp is after that of every driven row before, (n,)."""
    found = np.zeros(len(stamps), dtype=np.bool_)
    given = stamps[driven]
    latest = np.maximum.accumulate(np.concatenate([[-np.inf], given]))[:-1]
    found[driven] = given > latest
    return found


def _mapping(columns: Columns, header: Header, place: Callable[[str], str]) -> dict[str, Any]:
    """The mapping that makes a log of the columns; `place` is how a file names one of them.

    The time is the stamp of the robot's readings, unless more than `MOST_OLD` of them are old. A
    row with an old reading is left out: its stamp is no number.
    """
    driven = columns[DRIVEN] > 0
    old = np.mean(np.isnan(columns[STAMP][driven])) if driven.any() else 0.0

    def of(name: str, size: int) -> list[str]:
        return [place(name)] if size == 1 else [place(f"{name}[{k}]") for k in range(size)]

    return {
        "time": place(STAMP if old <= MOST_OLD else "time"),
        "missing": "drop",
        "episode": place("episode"),
        "terminated": place("terminated"),
        "only_where": place(DRIVEN),
        "control_dt": float(header.control_dt),
        "commands": {name: place(f"commands[{name}]") for name in header.actuators},
        "observations": {name: {"columns": of(name, n)} for name, n in header.terms.items()},
        "extras": {
            name: {"columns": of(name, n)}
            for name, n in header.extras.items()
            if name in ("asked", "state")
        },
    }


def _write_parquet(path: Path, columns: Columns, header: Header) -> None:
    arrow, parquet = (needed(one, "Parquet", "logs") for one in ("pyarrow", "pyarrow.parquet"))
    _whole(path, lambda place: parquet.write_table(arrow.table(columns), place))
    _write_mapping(path, _mapping(columns, header, str))


def _write_csv(path: Path, columns: Columns, header: Header) -> None:
    def write(place: Path) -> None:
        with place.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for row in zip(*(one.tolist() for one in columns.values()), strict=True):
                writer.writerow(["" if value != value else value for value in row])

    _whole(path, write)
    _write_mapping(path, _mapping(columns, header, str))


def _write_mcap(path: Path, columns: Columns, header: Header) -> None:
    """One topic of JSON messages; commands are 0 where nothing was sent."""
    writers = needed("mcap.writer", "MCAP", "logs")
    mapping = _mapping(columns, header, str)
    times = columns[str(mapping["time"])]
    fields = [_field(name) for name in columns]

    def write(place: Path) -> None:
        with place.open("wb") as file:
            writer = writers.Writer(file)
            writer.start()
            schema = writer.register_schema(
                name="robot", encoding="jsonschema", data=json.dumps(_schema(fields)).encode()
            )
            channel = writer.register_channel(
                schema_id=schema, topic=TOPIC, message_encoding="json"
            )
            timed = np.isfinite(times)
            rows = np.nan_to_num(np.stack(list(columns.values()), axis=1))[timed]
            for time, row in zip(times[timed].tolist(), rows, strict=True):
                ns = round(1e9 * time)
                data = json.dumps(dict(zip(fields, row.tolist(), strict=True))).encode()
                writer.add_message(channel, log_time=ns, data=data, publish_time=ns)
            writer.finish()

    _whole(path, write)
    named = _mapping(columns, header, lambda name: f"{TOPIC}.{_field(name)}")
    _write_mapping(path, named | {"time": TOPIC})


def _field(column: str) -> str:
    """The name of a column in a message: letters, digits and _."""
    return "".join(c if c.isalnum() else "_" for c in column).rstrip("_")


def _schema(fields: list[str]) -> dict[str, Any]:
    number = {"type": "number"}
    return {"type": "object", "properties": dict.fromkeys(fields, number)}


def _write_mapping(path: Path, mapping: Mapping[str, Any]) -> None:
    text = json.dumps(mapping, indent=2) + "\n"
    _whole(path.with_suffix(MAPPING), lambda place: place.write_text(text))


def _whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a file beside `path`, which then takes its place."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        write(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


WRITERS: dict[str, Callable[[Path, Columns, Header], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".mcap": _write_mcap,
}
"""By suffix."""
