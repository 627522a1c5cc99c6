from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sim2real.learning.loop import learn
from sim2real.learning.progress import Progress, clock


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def text(of: Console) -> str:
    file = of.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_off_a_terminal_plain_lines(build: Any, tmp_path: Path) -> None:
    screen = console(terminal=False)
    progress = Progress(2560, "toy", screen)
    learn(build("ppo"), tmp_path, 2560, callbacks=[progress], progress=False)
    lines = text(screen).splitlines()
    assert 8 <= len(lines) <= 11
    pattern = r"toy: +\d+% \([\d,]+ of 2,560 steps\), [\d,]+ steps/s, return [-\d.]+, \d:\d\d left"
    for line in lines:
        assert re.fullmatch(pattern, line)
    assert lines[-1].startswith("toy: 100% (2,560 of 2,560 steps)")


def test_on_a_terminal_a_bar(build: Any, tmp_path: Path) -> None:
    screen = console(terminal=True)
    progress = Progress(1280, "toy", screen)
    learn(build("ppo"), tmp_path, 1280, callbacks=[progress], progress=False)
    progress.close()
    progress.close()  # twice does no harm
    for part in ("toy", "100 %", "steps/s", "return", "left"):
        assert part in text(screen)


def test_progress_goes_to_stderr(
    build: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn(build("ppo"), tmp_path / "toy", 256)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("left\n")


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "-"), (0.2, "0:00"), (65.0, "1:05"), (3_725.4, "1:02:05")]
)
def testclock(seconds: float, words: str) -> None:
    assert clock(seconds) == words
