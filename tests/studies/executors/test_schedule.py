from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from sim2real.studies.executors.executor import Outcome
from sim2real.studies.executors.schedule import ATTEMPTS, run_cells
from sim2real.studies.ledger import Cell


class Scripted:
    """Ends one cell at each wait, the earliest first; `lost` ids are lost so many times."""

    def __init__(self, size: int, lost: dict[str, int] | None = None) -> None:
        self.size, self._lost = size, lost or {}
        self.running: deque[Cell] = deque()
        self.started: list[str] = []
        self.most = 0
        self.closed = False

    def start(self, cell: Cell) -> None:
        self.running.append(cell)
        self.started.append(cell.id)
        self.most = max(self.most, len(self.running))

    def wait(self, seconds: float) -> Sequence[Outcome]:
        cell = self.running.popleft()
        left = self._lost.get(cell.id, 0)
        self._lost[cell.id] = left - 1
        return [Outcome(cell, "lost" if left > 0 else "done", {}, 0.0)]

    def close(self) -> None:
        self.closed = True


def cells(**needs: Sequence[str]) -> list[Cell]:
    return [Cell(name, "key", {}, tuple(of)) for name, of in needs.items()]


def test_order_size_and_needs() -> None:
    """c needs a and b, which are begun in their order; what was done before is not waited for."""
    executor = Scripted(size=2)
    given = cells(c=["a", "b"], a=[], b=["before"], d=[])
    outcomes = list(run_cells(given, executor, done=["before"]))
    assert executor.started == ["a", "b", "d", "c"]
    assert executor.most == 2
    assert len(outcomes) == 4
    assert executor.closed


@pytest.mark.parametrize(("times", "last"), [(ATTEMPTS - 1, "done"), (ATTEMPTS, "failed")])
def test_a_lost_cell_has_a_stated_number_of_starts(times: int, last: str) -> None:
    executor = Scripted(size=1, lost={"a": times})
    outcomes = list(run_cells(cells(a=[], b=["a"]), executor))
    assert executor.started.count("a") == ATTEMPTS
    assert [one.status for one in outcomes if one.cell.id == "a"] == [
        *["lost"] * (ATTEMPTS - 1),
        last,
    ]
    assert ("b" in executor.started) == (last == "done")


def test_the_executor_is_closed_when_the_caller_stops() -> None:
    executor = Scripted(size=1)
    outcomes: Any = run_cells(cells(a=[], b=[]), executor)
    next(outcomes)
    outcomes.close()
    assert executor.closed
