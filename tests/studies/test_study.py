from __future__ import annotations

import fcntl
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.runs.load import CURVE, load_run
from sim2real.studies.config import load_study
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.ledger import Cell
from sim2real.studies.study import CellsFailed, describe, plan_of, study
from sim2real.transfer.methods.identify import IDENTIFICATION

ROBOTS = Path(__file__).parents[1] / "robots"

TINY: dict[str, Any] = {
    "task": "inverted_pendulum",
    "source": {"steps": 512, "options": {"num_envs": 16, "n_steps": 8}},
    "targets": ["medium"],
    "methods": ["fine_tune"],
    "budget": 2048,
    "seeds": 2,
    "episodes": 3,
    "evaluations": 2,
    "oracle": {"steps": 512, "seeds": 1},
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM2REAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is drawn in another test."""
    monkeypatch.setattr("sim2real.studies.study.write_report", lambda *_: None)


def write(tmp_path: Path, **changes: Any) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY | {"out": str(tmp_path / "out")} | changes))
    return file


def entries(tmp_path: Path) -> dict[str, int]:
    """When each entry of the ledger was written."""
    return {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out/cells").iterdir()}


def test_a_study_from_file_to_report_and_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    report = study(write(tmp_path), workers=2)
    out = tmp_path / "out"
    told = capfd.readouterr().err
    assert "of 27" in told
    assert "medium is left out" in told or "medium: the learning curve" in told
    assert told.index("evaluate/medium/oracle-source/seed-0") < told.index("transfer/")
    assert json.loads((out / "report/report.json").read_text()) == report
    assert (out / "report/index.html").is_file()
    medium = report["targets"]["medium"]
    methods = medium["methods"]
    assert list(methods) == ["fine_tune", "plain", "scratch"]
    assert methods["fine_tune"]["curve"]["steps"] == [0, 1024, 2048]
    assert methods["scratch"]["used"]["steps"] == 2048  # equal budgets, used up and not exceeded
    assert methods["scratch"]["used"]["episodes"] > 0
    # fine-tuning starts with the very policy and episodes that gave the zero-shot return
    before = medium["zero_shot"]["return"]["value"]
    assert methods["fine_tune"]["return_before"]["value"] == pytest.approx(before)
    # at home it is compared with that policy on the same episodes
    home = report["source"]["return"]["value"]
    left = methods["fine_tune"]["home"]["value"]
    assert methods["fine_tune"]["forgotten"]["value"] == pytest.approx(left - home)
    acting = medium["quality"]
    assert list(acting) == ["zero-shot", *methods, "oracle"]
    tuned = (out / "runs").glob("transfer-fine_tune-medium-*")
    curves = [read_json(folder / CURVE)["rows"] for folder in tuned]
    for place, policy in {0: "zero-shot", -1: "fine_tune"}.items():
        energies = [rows[place]["quality"]["energy"] for rows in curves]
        assert acting[policy]["energy"] == pytest.approx(np.mean(energies))
    assert set(medium["references"]["ways"]) == {"scratch", "source"}
    assert len(report["source"]["pretraining"]["steps"]) > 2
    run = load_run(next((out / "runs").glob("oracle-source-medium-seed-0*")))
    assert run.config.parsed_recipe().num_envs == 16  # with the rollouts of a pretraining
    assert load_run(next((out / "runs").glob("transfer-fine_tune*"))).config.steps == 2048
    for file in (out / "cells").glob("evaluate-medium-oracle-*"):  # each the best of its curve
        way, seed = re.findall(r"oracle-(\w+)-seed-(\d)", file.name)[0]
        folder = next((out / "runs").glob(f"oracle-{way}-medium-seed-{seed}-*"))
        means = [np.mean(row["totals"]) for row in read_json(folder / CURVE)["rows"]]
        saved = sorted(int(path.name) for path in (folder / "checkpoints").iterdir())
        assert read_json(file)["result"]["step"] == saved[int(np.argmax(means))]

    done = entries(tmp_path)
    killed = out / "runs/.transfer-fine_tune-medium-seed-0.abc.partial"  # while it was made
    killed.mkdir()
    (killed / "task.json").write_text("{}")
    again = study(write(tmp_path), workers=2)
    assert entries(tmp_path) == done
    assert not killed.exists()
    assert again["targets"] == report["targets"]

    request.getfixturevalue("cells_in_process")  # from here on
    request.getfixturevalue("without_report")
    # another target or other words need no more than what is new
    more: dict[str, Any] = {"targets": ["medium", "mild"], "about": "more", "seeds": 1}
    more |= {"plain": False, "audit": False}
    more["oracle"] = TINY["oracle"] | {"seeds": 1, "ways": ["scratch"]}
    study(write(tmp_path, **more), workers=1, progress=False)
    after = entries(tmp_path)
    assert done.items() <= after.items()
    assert {name.split("-")[0] for name in after.keys() - done.keys()} == {
        "evaluate",
        "oracle",
        "transfer",
    }

    # the oracles of another study with the same target and source come from the cache
    kept = {path.name for path in (tmp_path / "cache/oracle").iterdir()}
    other = more | {"out": str(tmp_path / "other")}
    study(write(tmp_path, **other), workers=1, progress=False)
    assert {path.name for path in (tmp_path / "cache/oracle").iterdir()} == kept


@pytest.mark.usefixtures("cells_in_process", "without_report")
def test_a_stale_result_is_reported_and_made_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The code of the task has changed since: nothing is used again, and the reason is told."""
    for suffix in (".py", ".xml", ".yaml"):
        own = (ROBOTS / f"slider{suffix}").read_text()
        (tmp_path / f"own{suffix}").write_text(own)
    changes = {
        "task": str(tmp_path / "own.py"),
        "source": {"steps": 256, "domain": "drawn", "options": {"num_envs": 4, "n_steps": 8}},
        "targets": ["heavy"],
        "budget": 256,
        "oracle": {"steps": 256, "seeds": 1, "ways": ["scratch"]},
        "seeds": 1,
        "plain": False,
        "audit": False,
    }
    study(write(tmp_path, **changes), workers=1, progress=False, trust_code=True)
    before = entries(tmp_path)
    capfd.readouterr()
    task = tmp_path / "own.py"
    task.write_text(task.read_text().replace("-0.1 *", "-0.2 *"))
    study(write(tmp_path, **changes), workers=1, progress=False, trust_code=True)
    told = capfd.readouterr().err
    again = [int(count) for count in re.findall(r"(\d+) earlier results? made again", told)]
    assert sum(again) == len(before)
    assert "the task (its code, options or model)" in told
    assert len(entries(tmp_path)) == 2 * len(before)


@pytest.mark.usefixtures("cells_in_process", "without_report")
def test_a_failing_cell_is_named_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = {"steps": 512, "seeds": 1, "ways": ["scratch"]}
    file = write(tmp_path, seeds=1, plain=False, audit=False, oracle=oracle)
    blocked = tmp_path / "blocked"
    blocked.write_text("not a folder")
    monkeypatch.setenv("SIM2REAL_CACHE", str(blocked))
    with pytest.raises(
        CellsFailed, match=r"(?s)oracle/scratch/medium/seed-0 failed: Traceback.*blocked"
    ) as caught:
        study(file, workers=1, progress=False)
    assert "evaluate/medium/random failed" in str(caught.value)
    kept = entries(tmp_path)
    assert any(name.startswith("transfer-fine_tune") for name in kept)
    monkeypatch.setenv("SIM2REAL_CACHE", str(tmp_path / "cache"))
    study(file, workers=1, progress=False)
    assert kept.items() <= entries(tmp_path).items()


def test_what_a_method_simulates_counts_for_the_time_left(tmp_path: Path) -> None:
    methods = ["fine_tune", {"identify": {"simulated_steps": 5_000}}]
    plan = plan_of(load_study(write(tmp_path, methods=methods)))
    tuned, found = (
        plan.cells[f"transfer/{name}/medium/seed-0"].steps for name in ("fine_tune", "identify")
    )
    assert found - tuned == IDENTIFICATION + 5_000


def test_a_problem_of_several_cells_is_told_once() -> None:
    cells = [Cell(name, "key", {}) for name in ("a", "b", "c", "d", "e")]
    problems = [Outcome(cell, "refused", "no model", 0.0) for cell in cells[:4]]
    failed = Outcome(cells[4], "failed", "Traceback", 0.0)
    assert describe([*problems, failed]) == ["a, b, c and 1 more: no model", "e failed: Traceback"]


def test_a_study_that_runs_already_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is running this study"):
            study(write(tmp_path))


def test_a_folder_that_is_none_of_a_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    for name, problem in (("file", "cannot be written: Not a dir"), ("run", "the folder of a run")):
        with pytest.raises(UserError, match=problem):
            study(write(tmp_path, out=str(tmp_path / name)))


@pytest.mark.slow
def test_ctrl_c_saves_and_the_study_goes_on(tmp_path: Path) -> None:
    """Stopped in the middle of the pretraining: its checkpoint is there and is gone on from."""
    file = write(tmp_path, source={"steps": 400_000}, seeds=1)
    script = (
        "import signal, sys; from sim2real.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # tests in the background
        "sys.exit(main(['study', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", script, str(file)]
    runs = tmp_path / "out" / "runs"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(runs.glob("pretrain-*/checkpoints/0*[1-9]*")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "started again, it goes on" in errors
    (run,) = runs.glob("pretrain-*")
    stopped = load_run(run).step
    assert 0 < stopped < 400_000
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not any(
        "sim2real.studies.executors.worker" in one and str(tmp_path) in str(one) for one in commands
    )
    report = study(write(tmp_path, source={"steps": 400_000}, seeds=1), progress=False)
    assert load_run(run).step == 400_000
    assert report["targets"]["medium"]["methods"]["fine_tune"]["return_after"]
