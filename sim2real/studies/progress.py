"""Progress of a study: a live line on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sim2real.studies.executor import Outcome
from sim2real.studies.ledger import Cell

PLAIN_SECONDS = 15.0
"""At most this long between two plain lines."""


class Board:
    """Shows how many cells are done, which are running, and about how long the rest takes."""

    def __init__(
        self,
        name: str,
        cells: Sequence[Cell],
        done: Sequence[Cell],
        workers: int,
        console: Console | None = None,
    ) -> None:
        self.name, self.total, self.workers = name, len(cells), workers
        self.count = len(done)
        self.console = console or Console(stderr=True)
        self._left = sum(cell.steps for cell in cells) - sum(cell.steps for cell in done)
        self._steps, self._seconds = 0.0, 0.0  # of the cells finished here
        self._since: dict[str, float] = {}
        self._printed = time.monotonic()
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = _bar(self.console)
            self._bar.add_task(name, total=self.total, completed=self.count, running="", left="?")
            self._bar.start()

    def line(self, text: str) -> None:
        """Print one line now."""
        self.console.print(f"{self.name}: {text}", soft_wrap=True, highlight=False, markup=False)
        self._printed = time.monotonic()

    def tick(self, running: Sequence[Cell]) -> None:
        """Show what is running."""
        now = time.monotonic()
        self._since = {cell.id: self._since.get(cell.id, now) for cell in running}
        left, names = self._time_left(running), ", ".join(cell.id for cell in running)
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=self.count, running=names, left=left)
        elif now - self._printed >= PLAIN_SECONDS:
            self.line(f"{self.count} of {self.total} done, {left} left; running {names}")

    def ended(self, outcome: Outcome) -> None:
        """Count a cell that has ended, and print its result."""
        done = outcome.status == "done"
        if done:
            self.count += 1
            self._steps += outcome.cell.steps
            self._seconds += outcome.seconds
            self._left -= outcome.cell.steps
        verb = "took" if done else f"{outcome.status} after"
        left = self._time_left([])
        self.line(
            f"{self.count} of {self.total}, {outcome.cell.id} {verb} {outcome.seconds:.0f} s"
            + (f", about {left} left" if self.count < self.total else "")
        )

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.count, running="", left="0:00")
            self._bar.stop()
            self._bar = None

    def _time_left(self, running: Sequence[Cell]) -> str:
        """From the steps that are left and the speed so far; "?" before the first cell ends."""
        if not self._seconds:
            return "?"
        speed, now = self._steps / self._seconds, time.monotonic()
        under_way = sum(
            min(cell.steps, speed * (now - self._since.get(cell.id, now))) for cell in running
        )
        seconds = round((self._left - under_way) / speed / self.workers)
        return f"{seconds // 60}:{seconds % 60:02}"


def _bar(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed} of {task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]} left"),
        TextColumn("[dim]{task.fields[running]}"),
        console=console,
        refresh_per_second=4,
    )
