"""Progress of a study: what is running, what has ended, and the time left."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from sim2real.errors import listed
from sim2real.learning.progress import Display, clock
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.ledger import Cell

MOST_NAMES = 4
"""Running cells that are named, at most."""


class TimeLeft:
    """Estimates the time that the cells of a study still take, from the speed of those done."""

    def __init__(self, cells: Sequence[Cell], done: Sequence[Cell], workers: int) -> None:
        self._workers = workers
        self._left = sum(cell.steps for cell in cells) - sum(cell.steps for cell in done)
        self._steps, self._seconds = 0.0, 0.0  # of the cells finished here
        self._since: dict[str, float] = {}

    def tick(self, running: Sequence[Cell]) -> None:
        """Note when each running cell was first seen."""
        now = time.monotonic()
        self._since = {cell.id: self._since.get(cell.id, now) for cell in running}

    def ended(self, outcome: Outcome) -> None:
        """Count a cell that has ended."""
        if outcome.status == "done":
            self._steps += outcome.cell.steps
            self._seconds += outcome.seconds
            self._left -= outcome.cell.steps

    def seconds(self, running: Sequence[Cell]) -> float | None:
        """From the steps that are left and the speed so far; None before the first cell ends."""
        if not self._seconds:
            return None
        speed, now = self._steps / self._seconds, time.monotonic()
        under_way = sum(
            min(cell.steps, speed * (now - self._since.get(cell.id, now))) for cell in running
        )
        return (self._left - under_way) / speed / self._workers


class StudyProgress:
    """Shows how many cells are done, which are running, and about how long the rest takes."""

    def __init__(
        self,
        name: str,
        total: int,
        done: int,
        time_left: TimeLeft,
        console: Console | None = None,
    ) -> None:
        self._total, self._count, self._time_left = total, done, time_left
        self._display = Display(name, console)
        self.close = self._display.close

    @property
    def _part(self) -> float:
        return self._count / self._total

    def line(self, text: str) -> None:
        """Print one line now."""
        self._display.line(self._part, text)

    def tick(self, running: Sequence[Cell]) -> None:
        """Show what is running."""
        names = listed([cell.id for cell in running], MOST_NAMES)
        what = f"{self._count} of {self._total} done, running {names}"
        self._display.show(self._part, what, self._time_left.seconds(running))

    def ended(self, outcome: Outcome) -> None:
        """Count a cell that has ended, and print its result."""
        done = outcome.status == "done"
        self._count += done
        verb = "took" if done else f"{outcome.status} after"
        left = clock(self._time_left.seconds([]))
        self.line(
            f"{self._count} of {self._total}, {outcome.cell.id} {verb} {outcome.seconds:.0f} s"
            + (f", about {left} left" if self._count < self._total else "")
        )
