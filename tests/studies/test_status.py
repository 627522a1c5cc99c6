from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.studies.config import load_study
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.ledger import Cell, Ledger
from sim2real.studies.lock import lock
from sim2real.studies.progress import TimeLeft
from sim2real.studies.status import study_status
from sim2real.studies.status_file import STATUS, StatusFile
from sim2real.studies.study import plan_of

STUDY: dict[str, Any] = {
    "task": "cartpole",
    "domain": "nominal",
    "targets": ["hard"],
    "seeds": 2,
    "steps": 512,
    "pretrainings": ["plain"],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A study of two pretrainings, each evaluated in two domains."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(STUDY | {"out": str(tmp_path / "out")}))
    return path


def test_a_study_that_has_not_begun_is_only_left(file: Path, tmp_path: Path) -> None:
    found = study_status(file)
    assert (found["name"], found["runs"], found["seconds_left"]) == ("small", None, None)
    assert {kind: counts["left"] for kind, counts in found["kinds"].items()} == {
        "pretrain": 2,
        "evaluate": 4,
    }
    assert not (tmp_path / "out").exists()


def test_cells_are_counted_by_their_state(file: Path, tmp_path: Path) -> None:
    """One pretraining is done, its evaluation runs, the other pretraining has failed."""
    folder = tmp_path / "out"
    plan = plan_of(load_study(file))
    first, second = (cell for cell in plan.cells.values() if cell.id.startswith("pretrain"))
    follower = next(cell for cell in plan.cells.values() if first.id in cell.needs)
    Ledger(folder / "cells").write(first, {})
    (folder / "study.yaml").write_text(file.read_text())
    time_left = TimeLeft(list(plan.cells.values()), [], workers=1)
    status = StatusFile(folder, time_left)
    time_left.ended(Outcome(first, "done", {}, 10.0))
    status.ended(Outcome(second, "failed", "Traceback\n  ...\nKeyError: 'why'", 1.0))
    status.tick([follower])
    with lock(folder / ".lock", "running this study"):
        found = study_status(folder)
        assert found["runs"].startswith("process ")
        assert list(found["running"]) == [follower.id]
        assert found["seconds_left"] > 0
    assert found["failed"] == {second.id: "KeyError: 'why'"}
    assert found["kinds"]["pretrain"] == {
        "total": 2, "done": 1, "running": 0, "failed": 1, "left": 0,
    }  # fmt: skip
    assert found["kinds"]["evaluate"] == {
        "total": 4, "done": 0, "running": 1, "failed": 0, "left": 3,
    }  # fmt: skip
    killed = study_status(folder)  # the process has ended without a word
    assert (killed["runs"], killed["running"]) == (None, {})


def test_the_file_is_written_when_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [Cell(name, "key", {}, steps=100) for name in "ab"]
    status = StatusFile(tmp_path, TimeLeft(cells, [], workers=1))
    status.tick(cells[:1])
    written = (tmp_path / STATUS).stat().st_mtime_ns
    status.tick(cells)  # too soon after the last time
    assert (tmp_path / STATUS).stat().st_mtime_ns == written
    monkeypatch.setattr("sim2real.studies.status_file.AGAIN_SECONDS", 0.0)
    status.tick(cells)
    assert list(read_json(tmp_path / STATUS)["running"]) == ["a", "b"]
    status.close()
    assert read_json(tmp_path / STATUS)["running"] == {}


def test_what_is_no_study_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        study_status(tmp_path / "none.yaml")
    with pytest.raises(UserError, match=r"study\.yaml does not exist"):
        study_status(tmp_path)
