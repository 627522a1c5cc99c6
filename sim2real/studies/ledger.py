"""The finished cells of a study: one JSON file each, named by everything the result depends on.

A file is written whole when its cell is finished, so a study that was stopped or killed continues
where it was. A cell whose task, domain, method, code or versions have changed has another name, so
it is made again; `Ledger.stale` compares it with the earlier one and lists what changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim2real.errors import UserError
from sim2real.evaluation.provenance import differences
from sim2real.files import read_json, write_json


@dataclass(frozen=True)
class Cell:
    """One piece of work of a study: its readable id and the digest of what it depends on.

    `work` is what a worker is given, as JSON. `needs` are the ids of the cells it starts from;
    `steps` is its effort in control steps, to estimate the time left; `made_of` is the content
    whose digest is the key. Cells of a lower `rank` are begun first.
    """

    id: str
    key: str
    work: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    steps: int = 0
    made_of: Mapping[str, Any] = field(default_factory=dict)
    rank: int = 0

    @property
    def name(self) -> str:
        """The name of its files: the id, made fit for a path, and the start of the key."""
        return f"{_readable(self.id)}-{self.key[:10]}"


def _readable(identity: str) -> str:
    return re.sub(r"[^\w.-]+", "-", identity)


class Ledger:
    """The finished cells under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, cell: Cell) -> Path:
        """Where the result of `cell` is, once it is finished."""
        return self.folder / f"{cell.name}.json"

    def is_done(self, cell: Cell) -> bool:
        """Whether the result of `cell` with this key is there and whole."""
        if not self.file(cell).is_file():
            return False
        entry = _entry(self.file(cell))
        return entry.get("key") == cell.key and "result" in entry

    def stale(self, cell: Cell) -> list[str] | None:
        """The changes since an earlier result of `cell`; None if there is no such result."""
        pattern = f"{_readable(cell.id)}-{'?' * 10}.json"
        files = sorted(self.folder.glob(pattern), key=lambda file: file.stat().st_mtime_ns)
        entries = [entry for entry in map(_entry, files) if entry.get("cell") == cell.id]
        if self.is_done(cell) or not entries:
            return None
        before = entries[-1].get("made_of") or {}
        return differences(before, cell.made_of) if before else ["the version of the ledger"]

    def write(self, cell: Cell, result: Mapping[str, Any]) -> None:
        """Enter the result (JSON) of a finished cell."""
        entry = {
            "cell": cell.id,
            "key": cell.key,
            "made_of": dict(cell.made_of),
            "work": dict(cell.work),
            "result": dict(result),
        }
        write_json(self.file(cell), entry)

    def read(self, cell: Cell) -> dict[str, Any]:
        """The result of a finished cell; UserError if it is not there."""
        result: dict[str, Any] = read_json(self.file(cell))["result"]
        return result


def _entry(file: Path) -> dict[str, Any]:
    """The entry in a file; empty where it is broken."""
    try:
        entry = read_json(file)
    except UserError:
        return {}
    return entry if isinstance(entry, dict) else {}
