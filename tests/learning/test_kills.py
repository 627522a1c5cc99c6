"""A training killed at any file operation goes on, and ends as one that was never killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("killing.py")


def kill(scenario: str, folder: Path, *kills: int) -> dict[str, Any]:
    """The answer of killing.py, which forks: a process of its own, without threads."""
    words = [sys.executable, str(SCRIPT), scenario, str(folder), *map(str, kills)]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# Among the kills: in the run's folder before it is renamed, in the first checkpoint, after it.
@pytest.mark.parametrize(
    ("scenario", "kills"),
    [("ppo", (9, 40, 110)), ("transfer", (100,))],
)
def test_killed_training_goes_on(scenario: str, kills: tuple[int, ...], tmp_path: Path) -> None:
    found = kill(scenario, tmp_path, *kills)
    assert found["operations"] > max(kills)
    assert found["expected"]["step"] == "000000256"
    assert found["differences"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario", ["ppo", "sac", "adaptive", "transfer", "distill", "identify", "study"]
)
def test_killed_at_every_file_operation(scenario: str, tmp_path: Path) -> None:
    found = kill(scenario, tmp_path)
    assert found["operations"] > 100
    assert found["tried"] > 30
    assert found["differences"] == {}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["sac", "adaptive", "distill", "identify"])
def test_killed_at_a_few_operations(scenario: str, tmp_path: Path) -> None:
    found = kill(scenario, tmp_path, 9, 40, 64, 110)
    assert found["differences"] == {}


@pytest.mark.slow
def test_killed_study_with_processes_goes_on(tmp_path: Path) -> None:
    found = kill("study-processes", tmp_path, 2, 5, 9, 13, 20, 27)
    assert found["expected"]["targets"].keys() == {"hard"}
    assert found["differences"] == {}
