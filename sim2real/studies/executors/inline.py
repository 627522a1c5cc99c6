"""Cells in this process, one after the other: to debug, and where no process may be started."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from sim2real.studies.executors.executor import Outcome, attempt, function
from sim2real.studies.ledger import Cell


class InlineExecutor:
    """One cell at a time; `work` is "module:function". On Ctrl-C the cell itself saves and ends."""

    def __init__(self, work: str) -> None:
        self.size = 1
        self._work = function(work)
        self._cell: Cell | None = None

    def start(self, cell: Cell) -> None:
        """Keep the cell for `wait`."""
        self._cell = cell

    def wait(self, seconds: float) -> list[Outcome]:
        """Run the cell to its end. Raises KeyboardInterrupt when it was interrupted."""
        assert self._cell is not None
        cell, started, self._cell = self._cell, time.monotonic(), None
        status, detail = attempt(self._work, cell.work)
        if status == "interrupted":
            raise KeyboardInterrupt
        plain = json.loads(json.dumps(detail))  # as it comes back from other processes
        return [Outcome(cell, cast(Any, status), plain, time.monotonic() - started)]

    def close(self) -> None:
        """Nothing runs any more."""
