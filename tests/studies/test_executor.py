from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sim2real.studies.executor import Outcome, run_cells
from sim2real.studies.ledger import Cell

JOBS = """
import os, pathlib, signal, time
from sim2real.errors import UserError

def work(given):
    print("printed by", given["name"])
    match given["do"]:
        case "double":
            return {"twice": 2 * given["value"], "pid": os.getpid()}
        case "raise":
            raise KeyError("the cause")
        case "refuse":
            raise UserError("one line for the user")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            place = pathlib.Path(given["place"])
            place.joinpath(str(os.getpid())).touch()
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                place.joinpath("saved").touch()
                raise
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "jobs_of_a_test.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path)
    return "jobs_of_a_test:work"


def cell(name: str, do: str, needs: tuple[str, ...] = (), **more: Any) -> Cell:
    return Cell(name, "key", {"name": name, "do": do, **more}, needs)


def run(jobs: str, tmp_path: Path, *cells: Cell, workers: int = 2) -> dict[str, Outcome]:
    outcomes = run_cells(cells, jobs, workers=workers, logs=tmp_path / "logs")
    return {outcome.cell.id: outcome for outcome in outcomes}


def test_results_come_back_and_needs_come_first(jobs: str, tmp_path: Path) -> None:
    cells = [cell("b", "double", ("a",), value=2), cell("a", "double", value=1)]
    outcomes = run(jobs, tmp_path, *cells)
    assert list(outcomes) == ["a", "b"]
    assert [outcome.detail["twice"] for outcome in outcomes.values()] == [2, 4]
    assert all(outcome.status == "done" for outcome in outcomes.values())
    assert "printed by a" in (tmp_path / "logs" / "worker-0.log").read_text()


def test_failures_are_reported_and_the_rest_goes_on(jobs: str, tmp_path: Path) -> None:
    outcomes = run(
        jobs,
        tmp_path,
        cell("broken", "raise"),
        cell("never", "double", ("broken",), value=1),
        cell("refused", "refuse"),
        cell("killed", "die"),
        cell("fine", "double", value=4),
        workers=1,
    )
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "broken": "failed",
        "refused": "refused",
        "killed": "failed",
        "fine": "done",
    }
    assert "in work" in outcomes["broken"].detail
    assert "KeyError: 'the cause'" in outcomes["broken"].detail
    assert outcomes["refused"].detail == "one line for the user"
    assert "killed by SIGKILL" in outcomes["killed"].detail
    assert "worker-0.log" in outcomes["killed"].detail


def test_a_worker_serves_many_cells(jobs: str, tmp_path: Path) -> None:
    outcomes = run(jobs, tmp_path, *(cell(str(n), "double", value=n) for n in range(6)))
    assert len({outcome.detail["pid"] for outcome in outcomes.values()}) <= 2


def wait_for(place: Path, pattern: str, seconds: float = 30) -> Path:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := list(place.glob(pattern)):
            return found[0]
        time.sleep(0.05)
    raise TimeoutError(f"no {pattern} in {place}")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(") ", 1)[1].startswith("Z"))


def test_closing_lets_workers_save_and_leaves_none(jobs: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()

    def stop_when_started(running: Any) -> None:
        if list(place.iterdir()):
            raise KeyboardInterrupt

    sleeper = cell("sleeper", "sleep", place=str(place))
    logs = tmp_path / "logs"
    with pytest.raises(KeyboardInterrupt):
        list(run_cells([sleeper], jobs, workers=1, logs=logs, tick=stop_when_started))
    (pid,) = (int(path.name) for path in place.iterdir() if path.name.isdigit())
    assert (place / "saved").exists()
    assert not is_running(pid)


def test_a_killed_main_process_leaves_no_orphans(jobs: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from pathlib import Path
from sim2real.studies.executor import run_cells
from sim2real.studies.ledger import Cell
work = {{"name": "a", "do": "sleep", "place": {str(place)!r}}}
list(run_cells([Cell("a", "key", work)], {jobs!r}, workers=1, logs=Path({str(tmp_path)!r})))
"""
    with subprocess.Popen([sys.executable, "-c", script]) as main:
        pid = int(wait_for(place, "[0-9]*").name)
        assert is_running(pid)
        main.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)
