"""What is done: one JSON file for each finished cell, named by everything it depends on.

A file is written whole when its cell is finished, so a study that was stopped, by whatever, goes on
where it was; and a cell whose domain, method or versions have changed has another name, so that
it is made again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim2real.errors import UserError
from sim2real.files import read_json, write_json


@dataclass(frozen=True)
class Cell:
    """One piece of work of a study: its readable id and the digest of what it depends on.

    `work` is what a worker is given, as JSON. `needs` are the ids of the cells it starts from;
    `steps` is its effort in control steps, for telling how much is left.
    """

    id: str
    key: str
    work: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    steps: int = 0

    @property
    def name(self) -> str:
        """The name of its files: the id, made fit for a path, and the start of the key."""
        readable = re.sub(r"[^\w.-]+", "-", self.id)
        return f"{readable}-{self.key[:10]}"


class Ledger:
    """The finished cells under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, cell: Cell) -> Path:
        """Where the result of `cell` is, once it is finished."""
        return self.folder / f"{cell.name}.json"

    def is_done(self, cell: Cell) -> bool:
        """Whether `cell` is finished, with just this key, and its file is whole."""
        if not self.file(cell).is_file():
            return False
        try:
            entry = read_json(self.file(cell))
        except UserError:
            return False
        return isinstance(entry, dict) and entry.get("key") == cell.key and "result" in entry

    def write(self, cell: Cell, result: Mapping[str, Any]) -> None:
        """Enter the result (JSON) of a finished cell."""
        entry = {"cell": cell.id, "key": cell.key, "work": dict(cell.work), "result": dict(result)}
        write_json(self.file(cell), entry)

    def read(self, cell: Cell) -> dict[str, Any]:
        """The result of a finished cell; UserError if it is not there."""
        result: dict[str, Any] = read_json(self.file(cell))["result"]
        return result
