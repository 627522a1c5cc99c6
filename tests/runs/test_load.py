from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sim2real import cli, files
from sim2real.errors import UserError
from sim2real.runs.load import CURVE, best_step, load_run
from sim2real.runs.run import Run


@pytest.fixture
def rated(run: Run, tmp_path: Path) -> Path:
    """A copy of the run whose curve is highest at step 128, and at one without a checkpoint."""
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    means = {0: 1.0, 64: 2.0, 128: 9.0, 160: 20.0, 192: 3.0, 256: 4.0}
    rows = [{"steps": step, "totals": [mean - 1, mean + 1]} for step, mean in means.items()]
    files.write_json(copy / CURVE, {"rows": rows})
    return copy


def test_the_best_checkpoint_is_that_of_the_curve(rated: Path) -> None:
    assert best_step(rated) == 128
    assert load_run(rated, "best").step == load_run(f"{rated}@best").step == 128
    assert load_run(rated).step == 256


def test_a_curve_is_measured_where_checkpoints_are(run: Run) -> None:
    rows = files.read_json(run.path / CURVE)["rows"]
    assert [row["steps"] for row in rows] == run.steps == [0, 64, 128, 192, 256]


def test_a_checkpoint_is_named_in_the_path(run: Run) -> None:
    assert load_run(f"{run.path}@64").step == 64
    with pytest.raises(UserError, match="no checkpoint of step 65; allowed: 0, 64, 128, 192, 256"):
        load_run(f"{run.path}@65")
    with pytest.raises(UserError, match="two checkpoints are given"):
        load_run(f"{run.path}@64", 128)


def test_a_folder_may_have_such_a_name(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run@64")
    assert load_run(tmp_path / "run@64").step == 256
    assert load_run(f"{tmp_path / 'run@64'}@128").step == 128


def test_a_folder_may_be_named_like_a_zip(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run.zip")
    assert load_run(tmp_path / "run.zip").step == 256
    assert load_run(f"{tmp_path / 'run.zip'}@64").step == 64


def test_a_reference_names_the_checkpoint(run: Run) -> None:
    found = load_run(f"{run.path}@64")
    assert load_run(found.reference).step == 64
    assert "@" not in load_run(run.path).reference


@pytest.mark.parametrize("curve", ["{}", '{"rows": [{"steps": 64}]}', "[1]", "{"])
def test_a_damaged_curve_is_refused(rated: Path, curve: str) -> None:
    (rated / CURVE).write_text(curve)
    with pytest.raises(UserError, match=r"curve\.json"):
        load_run(rated, "best")


def test_without_a_curve_there_is_no_best_one(rated: Path) -> None:
    (rated / CURVE).unlink()
    with pytest.raises(UserError, match="no learning curve to choose the best checkpoint by"):
        load_run(rated, "best")


def test_a_transfer_starts_from_the_checkpoint_that_is_named(
    rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "moved"
    asked = ["transfer", f"{rated}@best", "--domain", "mild", "--budget", "64", "--out", str(out)]
    asked += ["--method", "fine_tune"]
    assert cli.main([*asked, "--curve", "1", "--set", "warm_up=0"]) == 0
    source, best = load_run(out / "source").checkpoint, load_run(rated, 128).checkpoint
    assert all(source.policy[name].equal(best.policy[name]) for name in best.policy)
    rows = files.read_json(out / CURVE)["rows"]
    assert [row["steps"] for row in rows] == [0, 64]
