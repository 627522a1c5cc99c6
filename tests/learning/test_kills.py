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


def kill_each(folder: Path, **kills: tuple[int | str, ...]) -> dict[str, Any]:
    """The answers of killing.py by scenario. It forks: a process of its own, without threads."""
    asked = [f"{scenario}:{','.join(map(str, some))}" for scenario, some in kills.items()]
    words = [sys.executable, str(SCRIPT), str(folder), *asked]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kill(scenario: str, folder: Path, *kills: int) -> dict[str, Any]:
    found: dict[str, Any] = kill_each(folder, **{scenario: kills})[scenario]
    return found


# Among the kills: in the run's folder before it is renamed, in the first checkpoint, after it.
def test_killed_trainings_go_on(tmp_path: Path) -> None:
    kills = {"ppo": (9, 40, 110), "transfer": (100,)}
    for scenario, found in kill_each(tmp_path, **kills).items():
        assert found["operations"] > max(kills[scenario])
        assert found["expected"]["step"] == "000000256"
        assert found["differences"] == {}


def test_killed_extension_goes_on_by_the_same_command(tmp_path: Path) -> None:
    """Among the kills: while config.yaml and its hash are written again, and in the training."""
    found = kill("extend", tmp_path, 3, 8, 13, 40)
    assert found["operations"] > 40
    assert found["expected"]["step"] == "000000640"
    assert found["differences"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario", ["ppo", "sac", "adaptive", "transfer", "distill", "identify", "extend", "study"]
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
@pytest.mark.parametrize("scenario", ["ppo", "sac", "transfer", "identify"])
def test_killed_at_random_moments(scenario: str, tmp_path: Path) -> None:
    (found,) = kill_each(tmp_path, **{scenario: ("50x",)}).values()
    assert found["tried"] == 50
    assert found["differences"] == {}


@pytest.mark.slow
def test_killed_study_with_processes_goes_on(tmp_path: Path) -> None:
    found = kill("study-processes", tmp_path, 2, 5, 9, 13, 20, 27)
    assert found["expected"]["targets"].keys() == {"hard"}
    assert found["differences"] == {}
