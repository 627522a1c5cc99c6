"""`sim2real check`: what is right passes, and each fault is found by the check that is for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sim2real import cli
from sim2real.evaluation import task_checks

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
        ({"reward": '"My reward": action[:, 0]'}, "names of terms", "use lower case"),
        (
            {"reward": '"root": np.full(len(action), np.nan)'},
            "reward terms",
            "'root' is not finite",
        ),
        (
            {"reward": '"wide": action, "root": np.sqrt(-np.ones(len(action)))'},
            "reward terms",
            "RuntimeWarning",
        ),
        ({"reward": '"wide": action'}, "reward terms", "'wide' has the shape (3, 1) for 3 worlds"),
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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_checks, "TASK_CHECKS", {name: task_checks.TASK_CHECKS[name]})
    assert message in checks(capsys, write_task(tmp_path, **changes))[name]


def test_a_fault_of_the_reward_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reward = '"wide": action, "root": np.full(len(action), np.inf)'
    mine = write_task(tmp_path, reward=reward, start="world.qpos[ids] = 0.0")
    found = checks(capsys, mine)
    assert set(found) == {"reward terms", "seeds", "start states"}
    assert "'wide' has the shape" in found["reward terms"]
    assert "'root' is not finite" in found["reward terms"]


@pytest.mark.parametrize(
    ("row", "found"), [("-0", {}), ("0 1", {"mirror": "place: 2 places; the term has 1"})]
)
def test_a_mirror(
    row: str,
    found: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_checks, "TASK_CHECKS", {"mirror": task_checks.check_mirror})
    mine = Path(write_task(tmp_path))
    mirror = f'    mirror = Mirror(action="-0", terms={{"place": "{row}", "speed": "-0"}})\n'
    imported = "from sim2real.task import Mirror\n"
    mine.write_text(imported + mine.read_text() + mirror)
    problems = checks(capsys, str(mine))
    assert problems.keys() == found.keys()
    assert all(found[name] in problems[name] for name in found)


def test_an_action_without_effect_and_a_task_that_remembers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = Path(write_task(tmp_path))
    mine.write_text(
        mine.read_text() + "    def control(self, world, action):\n        return 0 * action\n"
    )
    assert "action 0 has no effect" in checks(capsys, str(mine))["range of the actions"]
    mine = Path(
        write_task(
            tmp_path, start="world.qpos[ids] = self.count() + rng.uniform(0, 1, (len(ids), 1))"
        )
    )
    mine.write_text(
        mine.read_text()
        + "    n = 0\n    def count(self):\n        self.n += 1\n        return self.n\n"
    )
    assert "the second time" in checks(capsys, str(mine))["contexts"]


KIND = """
import numpy as np
from sim2real.domains.entries.stage import {base}

class Mine({base}):
    \"\"\"A kind of the user's own.\"\"\"
    name, low = "mine", 0.0
    {body}
"""


@pytest.mark.parametrize(
    ("base", "body", "name", "message"),
    [
        (
            "Remembering",
            "def follow(self, last, values, moment):\n"
            "        far = np.abs(values - last) > self.magnitude[moment.rows]\n"
            "        return np.where(far, values, last)",
            "",
            "",
        ),
        (
            "Stage",
            "def change(self, values, moment):\n"
            "        return values + self.magnitude[moment.rows] + 0.1",
            "mine in sensing: does nothing at its identity",
            "set `identity`",
        ),
        (
            "Stage",
            "def change(self, values, moment):\n        return values",
            "mine in actuation: has an effect",
            "no effect at 0.3",
        ),
        (
            "Stage",
            "def change(self, values, moment):\n"
            "        self.count = getattr(self, 'count', 0) + 1\n"
            "        return values + self.magnitude[moment.rows] * np.sin(self.count)",
            "mine in sensing: memory",
            "keep what it remembers in self.memory",
        ),
        (
            "Stage",
            "def change(self, values, moment):\n"
            "        return values + self.magnitude[moment.rows] * len(values)",
            "mine in sensing: worlds are independent",
            "moment.rows",
        ),
        (
            "Load",
            "def change(self, values, moment):\n        return values[:, :0]",
            "mine in disturbances: fits the model",
            "shape",
        ),
    ],
)
def test_a_kind(
    base: str,
    body: str,
    name: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "kind.py").write_text(KIND.format(base=base, body=body))
    found = checks(capsys, str(tmp_path / "kind.py"), "--task", "cartpole")
    assert message in found[name] if name else found == {}


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
    assert "allowed: a task, method or kind (my_robot.py)" in capsys.readouterr().err
    assert cli.main(["check", "cartpole", "--task", "hopper"]) == 2
    assert "cartpole is a task itself" in capsys.readouterr().err
