from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sim2real.errors import UserError
from sim2real.runs.run import versions
from sim2real.studies.config import ComparisonConfig
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.executors.ray_cluster import Place, RayExecutor, run_there
from sim2real.studies.executors.schedule import run_cells
from sim2real.studies.ledger import Cell
from sim2real.studies.study import study

STORE = 80 * 2**20
CONFIG: dict[str, Any] = {
    "name": "small",
    "task": "cartpole",
    "domain": "nominal",
    "targets": ["hard"],
    "seeds": [0],
    "episodes": 2,
    "steps": 20_000,
    "options": {"num_envs": 4, "n_steps": 64, "net_arch": [8], "batch_size": 64},
    "pretrainings": ["plain", {"quick": {"options": {"learning_rate": 0.003}}}],
    "audit": False,
}


def place(tmp_path: Path) -> Place:
    folder = tmp_path / "study"
    folder.mkdir()
    return Place(os.getcwd(), (), str(folder), str(folder / "logs"), "json:dumps", versions(), {})


def test_a_cell_on_a_node_prints_into_the_logs(tmp_path: Path) -> None:
    there = place(tmp_path)
    assert run_there(there, "a", {"value": 1}) == ("done", '{"value": 1}')
    assert len(list((tmp_path / "study" / "logs").glob("ray-*.log"))) == 1
    assert not list((tmp_path / "study" / "logs").glob("*.lock"))


def test_a_node_that_differs_is_refused(tmp_path: Path) -> None:
    same = place(tmp_path)
    other = dataclasses.replace(same, versions=same.versions | {"torch": "1.0"})
    status, detail = run_there(other, "a", {})
    assert status == "refused"
    assert "in place of 1.0; allowed: the same on every node" in detail
    apart = dataclasses.replace(same, folder=str(tmp_path / "elsewhere"))
    status, detail = run_there(apart, "a", {})
    assert status == "refused"
    assert "does not see" in detail


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of a head with one processor; tests add nodes."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE}
    found = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    yield found
    found.shutdown()


def results(where: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> dict[str, bytes]:
    """The files of the finished cells of the study, run in `where`."""
    where.mkdir(exist_ok=True)
    monkeypatch.chdir(where)
    monkeypatch.setenv("SIM2REAL_CACHE", str(where / "cache"))
    study(ComparisonConfig.model_validate(CONFIG), out="study", progress=False, **how)
    return {file.name: file.read_bytes() for file in (where / "study" / "cells").iterdir()}


def kill_when_trained(cluster: Any, node: Any, runs: Path) -> None:
    """Remove the node as soon as every pretraining has a checkpoint beyond its first."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        saved = [len(list(run.glob("checkpoints/0*"))) for run in runs.glob("pretrain-*")]
        if len(saved) == 2 and min(saved) >= 2:
            cluster.remove_node(node, allow_graceful=False)
            return
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_node_dies_and_the_study_equals_that_of_one_process(
    tmp_path: Path,
    cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    runs = tmp_path / "ray" / "study" / "runs"
    killer = threading.Thread(target=kill_when_trained, args=(cluster, node, runs))
    killer.start()
    there = results(tmp_path / "ray", monkeypatch, executor="ray", address=cluster.address)
    killer.join()
    told = capfd.readouterr().err
    assert "goes on from its last checkpoint" in told
    here = results(tmp_path / "inline", monkeypatch, executor="inline")
    assert len(here) == 6
    assert there == here


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_ray_is_started_here_and_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C saves the run, and the same command goes on."""
    ray = pytest.importorskip("ray")
    (tmp_path / "cell.py").write_text(
        "import pathlib, time\n"
        "def work(given):\n"
        "    pathlib.Path(given['started']).touch()\n"
        "    try:\n"
        "        while given['sleep']: time.sleep(0.01)\n"
        "    except KeyboardInterrupt:\n"
        "        pathlib.Path(given['saved']).touch()\n"
        "        raise\n"
        "    return {'twice': 2 * given['value']}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    started, saved = tmp_path / "started", tmp_path / "saved"
    common = {"started": str(started), "saved": str(saved)}

    def stop(running: Any) -> None:
        if started.exists() and any(cell.work["sleep"] for cell in running):
            raise KeyboardInterrupt

    def run(*cells: Cell) -> list[Outcome]:
        logs = tmp_path / "logs"
        executor = RayExecutor("cell:work", workers=1, address=None, folder=tmp_path, logs=logs)
        return list(run_cells(cells, executor, tick=stop))

    quick = Cell("a", "key", {"value": 2, "sleep": False, **common})
    assert [(one.status, one.detail) for one in run(quick)] == [("done", {"twice": 4})]
    started.unlink()
    with pytest.raises(KeyboardInterrupt):
        run(Cell("b", "key", {"value": 2, "sleep": True, **common}))
    assert saved.exists()
    assert not ray.is_initialized()


def test_an_absent_cluster_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*refused"):
        RayExecutor("json:dumps", workers=1, address="127.0.0.1:1", folder=tmp_path, logs=tmp_path)
