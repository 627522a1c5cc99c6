from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sim2real.studies.executors.executor import Outcome, processors, threads_each
from sim2real.studies.executors.local import LocalExecutor
from sim2real.studies.executors.schedule import ATTEMPTS, run_cells
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
            starts = pathlib.Path(given["place"], given["name"])
            starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
            if len(starts.read_text()) <= given["times"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return {"starts": len(starts.read_text())}
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


def run(jobs: str, tmp_path: Path, *cells: Cell, workers: int = 2) -> list[Outcome]:
    return list(run_cells(cells, LocalExecutor(jobs, workers=workers, logs=tmp_path / "logs")))


def test_results_come_back_and_needs_come_first(jobs: str, tmp_path: Path) -> None:
    cells = [cell("b", "double", ("a",), value=2), cell("a", "double", value=1)]
    outcomes = run(jobs, tmp_path, *cells)
    assert [outcome.cell.id for outcome in outcomes] == ["a", "b"]
    assert [outcome.detail["twice"] for outcome in outcomes] == [2, 4]
    assert all(outcome.status == "done" for outcome in outcomes)
    assert "printed by a" in (tmp_path / "logs" / "worker-0.log").read_text()


def test_failures_are_reported_and_the_rest_goes_on(jobs: str, tmp_path: Path) -> None:
    found = run(
        jobs,
        tmp_path,
        cell("broken", "raise"),
        cell("never", "double", ("broken",), value=1),
        cell("refused", "refuse"),
        cell("killed", "die", place=str(tmp_path), times=99),
        cell("fine", "double", value=4),
        workers=1,
    )
    outcomes = {outcome.cell.id: outcome for outcome in found}  # the last of each
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
    assert f"it was started {ATTEMPTS} times" in outcomes["killed"].detail
    assert (tmp_path / "killed").read_text() == "x" * ATTEMPTS


def test_a_lost_cell_is_started_again_and_what_needs_it_waits(jobs: str, tmp_path: Path) -> None:
    cells = [
        cell("killed", "die", place=str(tmp_path), times=1),
        cell("after", "double", ("killed",), value=1),
    ]
    found = [(outcome.cell.id, outcome.status) for outcome in run(jobs, tmp_path, *cells)]
    assert found == [("killed", "lost"), ("killed", "done"), ("after", "done")]


def test_a_worker_serves_many_cells(jobs: str, tmp_path: Path) -> None:
    outcomes = run(jobs, tmp_path, *(cell(str(n), "double", value=n) for n in range(6)))
    assert len({outcome.detail["pid"] for outcome in outcomes}) <= 2


def test_processors_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8))
    assert processors() == 8
    threads = {workers: threads_each(workers)["SIM2REAL_THREADS"] for workers in (1, 3, 8, 20)}
    assert threads == {1: "8", 3: "2", 8: "1", 20: "1"}
    assert threads_each(1)["OMP_NUM_THREADS"] == "1"  # or the last bits of a result change


def wait_for(place: Path, pattern: str, seconds: float = 120) -> Path:
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
    executor = LocalExecutor(jobs, workers=1, logs=tmp_path / "logs")
    with pytest.raises(KeyboardInterrupt):
        list(run_cells([sleeper], executor, tick=stop_when_started))
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
from sim2real.studies.executors.local import LocalExecutor
from sim2real.studies.executors.schedule import run_cells
from sim2real.studies.ledger import Cell
work = {{"name": "a", "do": "sleep", "place": {str(place)!r}}}
executor = LocalExecutor({jobs!r}, workers=1, logs=Path({str(tmp_path)!r}))
list(run_cells([Cell("a", "key", work)], executor))
"""
    with subprocess.Popen([sys.executable, "-c", script]) as main:
        pid = int(wait_for(place, "[0-9]*").name)
        assert is_running(pid)
        main.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)
