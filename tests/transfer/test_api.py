from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sim2real.errors import UserError
from sim2real.learning.callbacks import Interrupt, Interrupted
from sim2real.learning.pretrain import pretrain
from sim2real.policies.anatomy import anatomy, named_tensors
from sim2real.runs.checkpoint import read_checkpoint
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.runs.seal import seal
from sim2real.transfer.api import distill, transfer
from sim2real.transfer.resume import resume

pytestmark = pytest.mark.usefixtures("short_cartpole")
QUICK: dict[str, Any] = {"num_envs": 4, "progress": False}
RECIPE = {"recipe": {"n_steps": 8, "batch_size": 16}}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pretrain(
        "cartpole",
        "randomized",
        steps=64,
        num_envs=4,
        out=tmp_path_factory.mktemp("api") / "source",
        options={"net_arch": [6], "n_steps": 8, "batch_size": 16},
        progress=False,
    )


def go(source: Run, out: Path, **changes: Any) -> Run:
    asked: dict[str, Any] = {
        "budget": 128,
        "options": RECIPE,
        "method": "fine_tune",
        **QUICK,
        **changes,
    }
    return transfer(source, asked.pop("domain", "hard"), out=out, **asked)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domain": "hrad"}, "did you mean 'hard'"),
        ({"method": "fine-tune"}, "did you mean 'fine_tune'"),
        ({"budget": 3}, "allowed: num_envs <= 3"),
        ({"budget": 0}, "budget is 0"),
        ({"options": {"warm_upp": 0.1}}, "did you mean 'warm_up'"),
        ({"method": "freeze", "options": {"frozen": ["action_nett.*"]}}, "nearest: action_net"),
        ({"curve": [1000]}, "the curve asks for 0 to 1000 steps; allowed: 0 to 128"),
        ({"task": "inverted_pendulum"}, "observation cart is .* in the source, absent in"),
    ],
)
def test_bad_input_leaves_no_folder(
    source: Run, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        go(source, tmp_path / "run", **changes)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(source: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        go(source, tmp_path)


def test_the_default_folder_is_beside_the_source(source: Run) -> None:
    run = go(source, None, method="scratch", seed=3)  # type: ignore[arg-type]
    assert run.path == source.path.with_name("source-scratch-hard-3")
    assert run.config.source == str(source.path.resolve())
    assert run.config.method is not None
    assert run.config.method["name"] == "scratch"


def test_fresh_critic_and_quiet_start(source: Run, tmp_path: Path) -> None:
    options = {**RECIPE, "critic": "fresh", "log_std": -2.0}
    run = go(source, tmp_path / "run", options=options)
    first = read_checkpoint(run.path, 0).policy
    rows = json.loads((run.path / "report" / "manifest.json").read_text())["tensors"]
    fates = {row["tensor"]: row["action"] for row in rows}
    assert fates.pop("log_std") == "adapted"
    assert first["log_std"].tolist() == [-2.0]
    parts = anatomy(run.policy)
    for name, fate in fates.items():
        assert (fate == "fresh") == (parts[name].role == "critic")
        assert (fate == "copied") == torch.equal(first[name], source.checkpoint.policy[name])


def test_fresh_tensors_cannot_be_frozen(source: Run, tmp_path: Path) -> None:
    options = {**RECIPE, "critic": "fresh", "frozen": ["value_net.*"]}
    with pytest.raises(UserError, match=r"value_net.weight cannot be frozen: it is fresh"):
        go(source, tmp_path / "run", method="freeze", options=options)


@pytest.mark.parametrize("method", ["freeze", "distill"])
def test_ctrl_c_and_resume_without_the_source(
    source: Run, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "source"
    shutil.copytree(source.path, copied)
    options = {"student": [5], "rollout": 4, "updates": 2} if method == "distill" else RECIPE
    whole = go(load_run(copied), tmp_path / "whole", method=method, options=options, curve=2)
    with monkeypatch.context() as patch:
        reads = itertools.count()
        asked = property(lambda self: next(reads) > 1, lambda self, value: None)
        patch.setattr(Interrupt, "requested", asked, raising=False)
        with pytest.raises(Interrupted, match="resume with"):
            go(load_run(copied), tmp_path / "run", method=method, options=options, curve=2)
    shutil.rmtree(copied)
    assert 0 < load_run(tmp_path / "run").step < whole.step
    used = json.loads((tmp_path / "run" / "report" / "budget.json").read_text())["used"]
    assert used["steps"] == load_run(tmp_path / "run").step
    again = resume(tmp_path / "run", progress=False)
    left, right = again.checkpoint, whole.checkpoint
    for one, other in ((left.policy, right.policy), (left.training, right.training)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert resume(tmp_path / "run", progress=False).step == again.step


def test_a_transferred_run_is_transferred_on(source: Run, tmp_path: Path) -> None:
    student = distill(
        source.path, "randomized", student=[5], budget=64, out=tmp_path / "student", **QUICK
    )
    moved = go(student, tmp_path / "moved")
    shapes = {name: tuple(t.shape) for name, t in named_tensors(moved.policy).items()}
    assert shapes["mlp_extractor.policy_net.0.weight"] == (5, 5)
    assert student.config.kind == "distill"
    assert moved.config.frozen == ()


def test_a_lost_method_is_reported(source: Run, tmp_path: Path) -> None:
    run = go(source, tmp_path / "run", method="scratch")
    config = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text(config.replace("name: scratch", "name: scrtch"))
    seal(run.path)
    with pytest.raises(UserError, match="did you mean 'scratch'"):
        resume(run.path, progress=False)


def test_the_tables_are_printed(
    source: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go(source, tmp_path / "run", method="freeze", progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no difference" in captured.err
    assert "mlp_extractor.policy_net.0" in captured.err
    assert "frozen" in captured.err


def test_changed_code_of_a_task_that_is_given_is_reported(tmp_path: Path) -> None:
    robots = Path(__file__).parents[1] / "robots"
    for name in ("slider.py", "slider.xml", "slider.yaml"):
        shutil.copy(robots / name, tmp_path / name)
    task = tmp_path / "slider.py"
    small = {"options": {"net_arch": [6], "n_steps": 8, "batch_size": 16}, **QUICK}
    run = pretrain(str(task), "drawn", steps=64, out=tmp_path / "run", **small)
    task.write_text(task.read_text() + "\n# another line\n")
    with pytest.warns(UserWarning, match="the code of the task changed since the run was made"):
        transfer(
            load_run(run.path, task=run.task),
            "heavy",
            task=str(task),
            budget=64,
            out=tmp_path / "moved",
            options=RECIPE,
            **QUICK,
            method="fine_tune",
        )
