"""One display for all parts of a method: how many there are, and what is left."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sim2real.learning.progress import Display
from sim2real.transfer import parts as module
from sim2real.transfer.parts import MethodParts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in s, which a test sets."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_time_left_follows_from_the_last_part_of_each_kind(clock: list[float]) -> None:
    parts = MethodParts({"record": 1, "train": 4}, None)
    parts.begin("record", "recording")
    assert parts.seconds_left(0.5) is None  # the trainings are not known yet
    clock[0] = 5.0
    parts.begin("train", "training")
    clock[0] = 7.0
    assert parts.seconds_left(0.2) == pytest.approx(3 * 10.0 + 8.0)  # 2 s for a fifth
    clock[0] = 13.0
    parts.begin("train", "training")
    assert parts.seconds_left(0.0) == pytest.approx(2 * 8.0 + 8.0)
    parts.skip("train", 2)
    assert parts.seconds_left(0.5) == pytest.approx(0.0)  # nothing elapsed


def test_lines_count_the_parts_of_the_whole(clock: list[float]) -> None:
    screen = Console(file=io.StringIO(), force_terminal=False, width=120)
    with MethodParts({"record": 1, "train": 4}, Display("identify toy", screen)) as parts:
        parts.begin("record", "round 1, recording")
        clock[0] = 20.0
        parts.begin("train", "attempt 1, 1 of 4")
        clock[0] = 40.0
        parts.update(0.5, "return 12.0")
        parts.skip("train", 3)
        clock[0] = 55.0
        parts.update(1.0)
    assert isinstance(screen.file, io.StringIO)
    assert screen.file.getvalue().splitlines() == [
        "identify toy:  20% part 2 of 5, attempt 1, 1 of 4, - left",
        "identify toy:  30% part 2 of 5, attempt 1, 1 of 4, return 12.0, 2:20 left",
        "identify toy: 100% part 2 of 2, attempt 1, 1 of 4, 0:00 left",
    ]


def test_a_terminal_has_one_bar(clock: list[float]) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    with MethodParts({"train": 2}, Display("identify toy", screen)) as parts:
        parts.begin("train", "attempt 1, 1 of 2")
        parts.begin("train", "attempt 1, 2 of 2")
    assert isinstance(screen.file, io.StringIO)
    shown = screen.file.getvalue()
    assert "part 2 of 2, attempt 1, 2 of 2" in shown
    assert shown.count("\n") == 1
