"""A run with code, models and domains of the user's own goes on after it was moved."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sim2real import cli
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.files import read_json
from sim2real.learning.callbacks import Interrupt, Interrupted
from sim2real.learning.pretrain import pretrain
from sim2real.runs import copies
from sim2real.runs.load import load_run
from sim2real.runs.publish import publish
from sim2real.runs.run import Run
from sim2real.transfer.api import transfer
from sim2real.transfer.resume import resume

OPTIONS = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "net_arch": [6]}
RECIPE = {"recipe": {"n_steps": 8, "batch_size": 16}}
SMALL: dict[str, Any] = {"num_envs": 4, "progress": False}
ROBOT = """
from sim2real.task import Task
from terms import upright

class Robot(Task):
    control_dt, episode_s = 0.02, 0.4
    model = "../models/robot.xml"

    def observe(self, world):
        return {"position": world.qpos, "velocity": world.qvel}

    def reward(self, world, action):
        return {"upright": upright(world)}
"""
TERMS = """
import numpy as np

def upright(world):
    return np.cos(world.qpos[:, 0])
"""
MODEL = """
<mujoco>
  <compiler meshdir="meshes" texturedir="meshes"/>
  <asset>
    <mesh name="tetra" file="tetra.obj" scale="0.1 0.1 0.1"/>
    <texture name="grain" type="2d" file="grain.png"/>
    <material name="wood" texture="grain"/>
    <hfield name="ground" file="grain.png" size="1 1 0.1 0.1"/>
  </asset>
  <worldbody>
    <body name="arm">
      <joint name="hinge" type="hinge" axis="0 1 0"/>
      <geom type="mesh" mesh="tetra" material="wood" contype="0" conaffinity="0"/>
      <include file="parts/tip.xml"/>
    </body>
  </worldbody>
  <actuator><motor name="motor" joint="hinge" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
TIP = (
    "<mujocoinclude><geom name='tip' size='0.05' pos='0 0 0.3' contype='0' conaffinity='0'/>"
    "</mujocoinclude>"
)
DOMAINS = """
light: {extends: "more.yaml:heavy"}
other: {model: ../models/robot2.xml}
"""
MORE = "heavy: {dynamics: [{field: body_mass, scale: 2.0}]}"
METHOD = """
from typing import ClassVar
from sim2real.transfer.methods.scratch import Scratch

class Mine(Scratch):
    name: ClassVar[str] = "mine"
"""
TETRA = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"


def write_own(folder: Path) -> None:
    """A robot with a file beside it, a model of several files and domains of several files."""
    texts = {
        "code/robot.py": ROBOT,
        "code/terms.py": TERMS,
        "code/robot.yaml": DOMAINS,
        "code/more.yaml": MORE,
        "methods/mine.py": METHOD,
        "models/robot.xml": MODEL,
        "models/robot2.xml": MODEL.replace('pos="0 0 0.3"', 'pos="0 0 0.2"'),
        "models/parts/tip.xml": TIP,
        "models/meshes/tetra.obj": TETRA,
        "models/unused.xml": MODEL,
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(picture).save(folder / "models" / "meshes" / "grain.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which each test finds the same robot and the same run of it."""
    return tmp_path_factory.mktemp("copies") / "place"


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """A robot and a run of it, to be copied to `place`, where they were made."""
    write_own(place / "own")
    pretrain(
        str(place / "own" / "code" / "robot.py"),
        "light",
        target="other",
        steps=64,
        options=OPTIONS,
        out=place / "runs" / "run",
        **SMALL,
    )
    return place.rename(place.with_name("trained"))


@pytest.fixture
def own(place: Path, trained: Path) -> Path:
    """The files of the robot."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(trained, place)
    return place / "own"


@pytest.fixture
def run(own: Path) -> Run:
    return load_run(own.parent / "runs" / "run")


def move(own: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Move a run to another folder, remove what it was made of, and go elsewhere."""
    place = run.parent.parent / "elsewhere" / run.name
    place.parent.mkdir(exist_ok=True)
    shutil.move(run, place)
    shutil.rmtree(own)
    monkeypatch.chdir(place.parent)
    return place


def results(run: Run) -> list[float]:
    """Returns in every domain of the run and of the task's file."""
    domains = [*run.domains.values(), "nominal", "light", "other"]
    return [
        float(returns(evaluate(run.policy, run.task, domain, episodes=2)).sum())
        for domain in domains
    ]


def test_what_it_is_made_of_is_copied_and_its_size_is_reported(
    own: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {
        str(path.relative_to(run.path / "files")) for path in (run.path / "files").rglob("*.*")
    }
    assert found == {
        "code/robot.py", "code/terms.py", "code/robot.yaml", "code/more.yaml",
        "models/robot.xml", "models/robot2.xml", "models/parts/tip.xml",
        "models/meshes/tetra.obj", "models/meshes/grain.png",
    }  # fmt: skip
    index = read_json(run.path / "files.json")
    assert index["task"] == "files/code/robot.py:Robot"
    assert index["model"] == "files/models/robot.xml"
    size = sum(path.stat().st_size for path in (run.path / "files").rglob("*.*"))
    assert (index["count"], index["bytes"]) == (9, size)
    assert "model: files/models/robot2.xml" in (run.path / "domains.yaml").read_text()
    resume(run.path)
    assert "copied into the run: 9 files, 0.0" in capsys.readouterr().err


def test_a_moved_run_acts_as_before(own: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = results(load_run(run.path))
    moved = load_run(move(own, run.path, monkeypatch))
    assert moved.task.file == moved.path / "files" / "code" / "robot.py"
    assert results(moved) == before
    assert resume(moved.path, progress=False).step == 64


def test_a_moved_published_policy_acts_as_before(
    own: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(run, own.parent / "runs" / "published", episodes=4)
    before = results(load_run(folder))
    moved = move(own, folder, monkeypatch)
    shutil.rmtree(run.path)
    assert results(load_run(moved)) == before
    texts = [path.read_text() for path in moved.rglob("*") if path.suffix in (".yaml", ".md")]
    assert not [text for text in [*texts, (moved / "card.json").read_text()] if str(own) in text]
    assert read_json(moved / "card.json")["command"].startswith("sim2real pretrain robot.py ")


@pytest.mark.parametrize("form", ["mine.py", "mine.py:Mine", "mine", "mine:Mine"])
def test_a_moved_transfer_with_a_method_of_ones_own_is_resumed(
    form: str, own: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own / "methods")
    asked: dict[str, Any] = {"method": form, "budget": 128, "options": RECIPE, **SMALL}
    whole = transfer(run, "other", out=own.parent / "runs" / "whole", **asked)
    with monkeypatch.context() as patch:
        reads = itertools.count()
        stop = property(lambda self: next(reads) > 1, lambda self, value: None)
        patch.setattr(Interrupt, "requested", stop, raising=False)
        with pytest.raises(Interrupted):
            transfer(run, "other", out=own.parent / "runs" / "moved", **asked)
    moved = move(own, own.parent / "runs" / "moved", monkeypatch)
    shutil.rmtree(run.path)
    again = resume(moved, progress=False)
    assert again.step == whole.step > load_run(moved, step=0).step
    for name, tensor in whole.checkpoint.policy.items():
        np.testing.assert_array_equal(again.checkpoint.policy[name], tensor)


def test_a_transfer_keeps_the_model_of_its_target(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a shipped task, too."""
    shipped = Path(__file__).parents[2] / "envs" / "cartpole.xml"
    (own / "heavy.xml").write_text(shipped.read_text())
    (own / "worlds.yaml").write_text("heavy: {model: heavy.xml}")
    run = pretrain("cartpole", "nominal", steps=64, options=OPTIONS, out=tmp_path / "a", **SMALL)
    domain = f"{own}/worlds.yaml:heavy"
    moved = transfer(
        run,
        domain,
        budget=64,
        options=RECIPE,
        out=own.parent / "runs" / "moved",
        **SMALL,
        method="fine_tune",
    )
    before = float(returns(evaluate(moved.policy, moved.task, moved.domain, episodes=2)).sum())
    again = load_run(move(own, moved.path, monkeypatch))
    assert again.task.name == "cartpole"
    after = float(returns(evaluate(again.policy, again.task, again.domain, episodes=2)).sum())
    assert after == before
    assert not (run.path / "files").exists()


def test_a_copy_that_was_changed_is_not_trusted(run: Run) -> None:
    (run.path / "files" / "code" / "terms.py").write_text(TERMS + "\n")
    with pytest.raises(UserError, match=r"robot\.py and 1 files that it imports \(SHA-256"):
        _ = load_run(run.path).task
    with pytest.warns(UserWarning, match="the code of the task changed"):
        assert load_run(run.path, trust_code=True).task.name == "robot"


def test_a_changed_mesh_is_reported(run: Run) -> None:
    mesh = run.path / "files" / "models" / "meshes" / "tetra.obj"
    mesh.write_text(TETRA.replace("v 1 0 0", "v 2 0 0"))
    with pytest.warns(UserWarning, match="the model of the task changed"):
        _ = load_run(run.path).task


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"task": "../../own/code/robot.py"}, "which is no file in"),
        ({"task": "/etc/passwd.py"}, "which is no file in"),
        ({"task": "files/code/more.py"}, "which is no file in"),
        ({"model": "../own/models/robot.xml"}, "which is no file in"),
        ({"task": 3}, "is damaged"),
        ({"colour": "red"}, "is damaged"),
    ],
)
def test_an_index_leads_nowhere_else(change: dict[str, Any], match: str, run: Run) -> None:
    index = read_json(run.path / "files.json")
    (run.path / "files.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(UserError, match=match) as caught:
        _ = load_run(run.path).task
    assert "\n" not in str(caught.value)


def test_another_task_may_be_named(own: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run.path / "files" / "code")
    words = f"evaluate {run.path} --domains light --episodes 1"
    assert cli.main([*words.split(), "--task", str(own / "code" / "robot.py")]) == 0
    assert cli.main(words.split()) == 2
    assert "which is no file in" in capsys.readouterr().err


def test_files_that_are_too_large_are_left_where_they_are(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MOST_BYTES", 100)
    robot = str(own / "code" / "robot.py")
    with pytest.warns(UserWarning, match="are not copied, so the run needs them where they are"):
        run = pretrain(robot, "light", steps=64, options=OPTIONS, out=tmp_path / "run", **SMALL)
    assert not (run.path / "files.json").exists()
    assert load_run(run.path).task.file == Path(robot)
