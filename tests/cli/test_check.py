"""`sim2real check`: what is right passes, and each fault is found by the check that is for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sim2real import cli

ROBOTS = Path(__file__).parents[1] / "robots"
TASK = """
import numpy as np
from sim2real.task import Task

class Mine(Task):
    control_dt, episode_s = {control_dt}, 1.0

    def observe(self, world):
        return {{{observed}}}

    def reward(self, world, action):
        return {{{reward}}}

    def failed(self, world):
        return {failed}

    def start(self, world, ids, rng):
        {start}
"""
GOOD = {
    "control_dt": "0.02",
    "observed": '"place": world.qpos, "speed": world.qvel',
    "reward": '"effort": -action[:, 0] ** 2',
    "failed": "np.abs(world.qpos[:, 0]) > 100",
    "start": "world.qpos[ids] = rng.uniform(-0.1, 0.1, (len(ids), 1))",
}


def checks(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """The message of each check that failed, by its name."""
    code = cli.main(["check", *words, "--json"])
    result = json.loads(capsys.readouterr().out)
    assert code == (0 if result["passed"] else 1)
    return {one["name"]: one["message"] for one in result["checks"] if not one["passed"]}


def write_task(folder: Path, **changes: str) -> str:
    (folder / "mine.py").write_text(TASK.format(**GOOD | changes))
    shutil.copy(ROBOTS / "slider.xml", folder / "mine.xml")
    return str(folder / "mine.py")


def test_a_sound_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checks(capsys, write_task(tmp_path)) == {}


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"control_dt": "0.0213"}, "control step", "control step"),
        ({"reward": '"My reward": action[:, 0]'}, "names of terms", "'My reward': use lower case"),
        ({"reward": '"root": np.full(len(action), np.nan)'}, "terms are finite", "root"),
        (
            {"observed": '"place": world.qpos + np.random.normal(size=world.qpos.shape)'},
            "seeds",
            "draw from `rng` alone",
        ),
        ({"start": "world.qpos[ids] = 0.0"}, "seeds", "two seeds start alike"),
        ({"start": "world.qpos[ids] = 0.0"}, "start states", "start states are alike"),
        (
            {"reward": '"rank": world.qpos[:, 0] - world.qpos[:, 0].mean()'},
            "worlds are independent",
            "compute row by row",
        ),
        ({"failed": "np.abs(world.qpos[:, 0]) >= 0"}, "start states", "an episode starts failed"),
    ],
)
def test_a_fault_is_found(
    changes: dict[str, str],
    name: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in checks(capsys, write_task(tmp_path, **changes))[name]


def test_domains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_task(tmp_path)
    domains = tmp_path / "mine.yaml"
    domains.write_text(
        "good: {dynamics: [{field: body_mass, scale: 1.5}]}\n"
        "wrong: {dynamics: [{field: body_mass, of: nobody, scale: 1.5}]}\n"
        "idle: {dynamics: [{field: body_mass, scale: 1.0}]}\n"
    )
    found = checks(capsys, str(domains))
    assert set(found) == {"wrong: fits the model", "idle: audit"}
    assert "nobody" in found["wrong: fits the model"]
    other = tmp_path / "other.yaml"
    domains.rename(other)
    assert cli.main(["check", str(other)]) == 2
    assert "there is no other.py beside it; add --task NAME" in capsys.readouterr().err
    assert checks(capsys, str(other), "--task", str(tmp_path / "mine.py")) == found


def study(**changes: Any) -> str:
    asked = {
        "task": "cartpole",
        "source": {"steps": 64},
        "targets": ["hard"],
        "methods": {"freeze": {}},
        "budget": 64,
        "oracle": {"steps": 64},
    }
    return json.dumps(asked | changes)  # JSON is YAML


def test_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(study())
    assert checks(capsys, "study.yaml") == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.yaml"]  # nothing is run
    (tmp_path / "study.yaml").write_text(study(targets=["hrad"]))
    assert cli.main(["check", "study.yaml"]) == 2
    assert "did you mean 'hard'?" in capsys.readouterr().err


def test_what_is_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.yaml").write_text("[1, 2]")
    assert cli.main(["check", str(tmp_path / "list.yaml")]) == 2
    assert "allowed: a task or method (my_robot.py)" in capsys.readouterr().err
    assert cli.main(["check", "cartpole", "--task", "hopper"]) == 2
    assert "cartpole is a task itself" in capsys.readouterr().err
