"""What a study that runs is doing, in a file of its folder, for other processes to read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim2real.errors import UserError
from sim2real.files import read_json, write_json
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.ledger import Cell
from sim2real.studies.progress import TimeLeft

STATUS = "status.json"
"""The file in a study's folder with what is running, what has failed, and the time left."""
EVERY_SECONDS = 10.0
"""The time left is written at least so often while a study runs ..."""
AGAIN_SECONDS = 1.0
"""... and a change at most so often: on a cluster there are many in a second."""


class StatusFile:
    """Keeps `STATUS` up to date while a study runs."""

    def __init__(self, folder: Path, time_left: TimeLeft) -> None:
        self._file, self._time_left = folder / STATUS, time_left
        self._failed: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._shown: set[str] = set()
        self._written = -EVERY_SECONDS

    def tick(self, running: Sequence[Cell]) -> None:
        """Write what is running, if it has changed or if it is time to."""
        now = time.monotonic()
        since = {cell.id: self._since.get(cell.id, now) for cell in running}
        changed, age = since.keys() != self._shown, now - self._written
        self._since = since
        if age >= EVERY_SECONDS or (changed and age >= AGAIN_SECONDS):
            self._write(running)

    def ended(self, outcome: Outcome) -> None:
        """Keep the last line of a problem."""
        if outcome.status in ("failed", "refused"):
            lines = str(outcome.detail).strip().splitlines() or [outcome.status]
            self._failed[outcome.cell.id] = lines[-1]

    def close(self) -> None:
        """Write that nothing runs any more."""
        self._since = {}
        self._write([])

    def _write(self, running: Sequence[Cell]) -> None:
        now = self._written = time.monotonic()
        self._shown = set(self._since)
        content = {
            "running": {name: round(now - start, 1) for name, start in self._since.items()},
            "failed": self._failed,
            "seconds_left": self._time_left.seconds(running),
            "at": time.time(),
        }
        write_json(self._file, content)


def read_status(folder: Path) -> dict[str, Any]:
    """What the process that runs or ran the study has told last."""
    try:
        told: dict[str, Any] = read_json(folder / STATUS)
    except UserError:  # never run, or by an older version
        return {"running": {}, "failed": {}, "seconds_left": None}
    return told
