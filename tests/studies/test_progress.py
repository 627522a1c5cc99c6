from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console

from sim2real.studies.executors.executor import Outcome
from sim2real.studies.ledger import Cell
from sim2real.studies.progress import StudyProgress, TimeLeft

CELLS = [Cell(name, "key", {}, steps=1000) for name in "abcd"]


class Shown:
    """The progress and its estimate of the time left, told together."""

    def __init__(self, terminal: bool = False) -> None:
        self.text = io.StringIO()
        console = Console(file=self.text, force_terminal=terminal, width=120)
        time_left = TimeLeft(CELLS, CELLS[:1], workers=2)
        progress = StudyProgress("demo", len(CELLS), 1, time_left, console)
        self._parts = (time_left, progress)
        self.close = progress.close

    def tick(self, running: Sequence[Cell]) -> None:
        for part in self._parts:
            part.tick(running)

    def ended(self, outcome: Outcome) -> None:
        for part in self._parts:
            part.ended(outcome)


def test_plain_lines_tell_how_much_is_left() -> None:
    shown = Shown()
    shown.tick(CELLS[1:3])
    shown.tick(CELLS[1:3])  # nothing new yet
    shown.ended(Outcome(CELLS[1], "done", {}, 20.0))
    shown.tick(CELLS[2:3])
    shown.ended(Outcome(CELLS[2], "failed", "why", 3.0))
    shown.close()
    # two cells of 1,000 steps are left at 50 steps/s and worker, on two workers
    assert shown.text.getvalue().splitlines() == [
        "demo:  25% 1 of 4 done, running b, c, - left",
        "demo: 2 of 4, b took 20 s, about 0:20 left",
        "demo: 2 of 4, c failed after 3 s, about 0:20 left",
    ]


def test_a_terminal_gets_a_bar() -> None:
    shown = Shown(terminal=True)
    shown.tick(CELLS[1:3])
    shown.ended(Outcome(CELLS[1], "done", {}, 20.0))
    shown.close()
    assert "25 % 1 of 4 done, running b, c" in shown.text.getvalue()
    assert "2 of 4, b took 20 s" in shown.text.getvalue()
