"""The order in which cells run on an executor, and what is started again."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace

from sim2real.studies.executors.executor import Executor, Outcome
from sim2real.studies.ledger import Cell

ATTEMPTS = 3
"""How often a cell is started, at most, if its process or its machine ends under it."""

TICK_SECONDS = 0.5


def run_cells(
    cells: Sequence[Cell],
    executor: Executor,
    *,
    done: Iterable[str] = (),
    tick: Callable[[Sequence[Cell]], None] = lambda running: None,
    follow: Callable[[Outcome], Sequence[Cell]] = lambda outcome: (),
) -> Generator[Outcome, None, None]:
    """Run `cells` on `executor`, the first ones first; yields each outcome as it comes.

    A cell starts when all cells that it needs are done (`done`: ids of earlier ones), and not at
    all if one failed. One that is lost is started again, `ATTEMPTS` times in all; it goes on from
    its last checkpoint. `tick` is called twice a second with the cells that are running; `follow`
    gives the cells that an outcome brings, which are the last then. On
    KeyboardInterrupt, and when the caller closes the iterator, the cells finish their rollout,
    save it and end.
    """
    queue = _Queue(cells, done)
    starts: Counter[str] = Counter()
    running: dict[str, Cell] = {}
    try:
        while True:
            while len(running) < executor.size and (cell := queue.take()) is not None:
                executor.start(cell)
                starts[cell.id] += 1
                running[cell.id] = cell
            if not running:
                return
            tick(list(running.values()))
            for outcome in executor.wait(TICK_SECONDS):
                cell = running.pop(outcome.cell.id)
                if outcome.status == "done":
                    queue.finish(cell)
                elif outcome.status == "lost" and starts[cell.id] < ATTEMPTS:
                    queue.put(cell)
                elif outcome.status == "lost":
                    told = f"{outcome.detail}; it was started {ATTEMPTS} times"
                    outcome = replace(outcome, status="failed", detail=told)
                for one in follow(outcome):
                    queue.add(one)
                yield outcome
    finally:
        executor.close()


class _Queue:
    """Cells that may start, in their order: each as soon as what it needs is done."""

    def __init__(self, cells: Sequence[Cell], done: Iterable[str]) -> None:
        self._done = set(done)
        self._cells: list[Cell] = []
        self._place: dict[str, int] = {}
        self._missing: dict[str, set[str]] = {}
        self._followers: dict[str, list[Cell]] = defaultdict(list)
        self._ready: list[int] = []
        for cell in cells:
            self.add(cell)

    def add(self, cell: Cell) -> None:
        """Enter a new cell, as the last."""
        self._place[cell.id] = len(self._cells)
        self._cells.append(cell)
        missing = self._missing[cell.id] = set(cell.needs) - self._done
        for need in missing:
            self._followers[need].append(cell)
        if not missing:
            self.put(cell)

    def put(self, cell: Cell) -> None:
        """Enter a cell that may start."""
        heapq.heappush(self._ready, self._place[cell.id])

    def take(self) -> Cell | None:
        """The first cell that may start; None if there is none now."""
        return self._cells[heapq.heappop(self._ready)] if self._ready else None

    def finish(self, cell: Cell) -> None:
        """Enter the cells that have waited for this one alone."""
        self._done.add(cell.id)
        for follower in self._followers.pop(cell.id, ()):
            missing = self._missing[follower.id]
            missing.discard(cell.id)
            if not missing:
                self.put(follower)
