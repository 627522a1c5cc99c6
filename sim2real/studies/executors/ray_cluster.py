"""Cells on a Ray cluster: one that is started on this machine, or one that runs already.

The folder of the study is on storage that every node shares: a run is made there by one node and
read there by another. A Ray task is one cell. The loop of the study starts lost ones again, so
that Ray itself never does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sim2real.errors import UserError
from sim2real.extras import needed
from sim2real.runs.run import versions
from sim2real.studies.executors.executor import Outcome, attempt, function, processors
from sim2real.studies.ledger import Cell

STOP_SECONDS = 60.0
"""How long cells may take to finish a rollout and save it after Ctrl-C."""
STORE_BYTES = 100 * 2**20
"""Ray's memory for objects on a local cluster: cells give each other files, not objects."""
CONNECT_SECONDS = 10.0
CACHE = "SIM2REAL_CACHE"
"""The variable for the place of the user's cache, which the nodes take over."""
OLD_HOLDER_SECONDS = 300.0
"""How long a cell waits for the node that it was lost on, if that still writes into its run."""


class RayExecutor:
    """Up to `workers` cells at once; by default one for each processor of the cluster.

    `work` is "module:function". `address` is that of a running cluster ("auto" finds it on this
    machine); without one Ray is started here, with `workers` processors, and ended by `close`.
    `folder` is that of the study, which every node must see; what the cells print goes to `logs`.
    Raises UserError if Ray is not installed or the cluster cannot be reached.
    """

    def __init__(
        self, work: str, *, workers: int | None, address: str | None, folder: Path, logs: Path
    ) -> None:
        self._ray = needed("ray", "the executor ray", "ray")
        self._workers = workers
        own = self._ray.is_initialized()
        if not own:
            _connect(self._ray, address, workers or processors())
        self._is_ours = not own
        remote = self._ray.remote(num_cpus=1, max_retries=0)
        self._run = remote(run_there)
        cache = {name: os.environ[name] for name in (CACHE,) if name in os.environ}
        self._place = Place(
            os.getcwd(), tuple(sys.path), str(folder), str(logs), work, versions(), cache
        )
        self._running: dict[Any, tuple[Cell, float]] = {}

    @property
    def size(self) -> int:
        """The workers asked for, or the processors of the cluster as it is now."""
        if self._workers is not None:
            return self._workers
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def start(self, cell: Cell) -> None:
        """Submit the cell; Ray finds a node with a free processor."""
        task = self._run.remote(self._place, cell.name, dict(cell.work))
        self._running[task] = cell, time.monotonic()

    def wait(self, seconds: float) -> list[Outcome]:
        """The outcomes that have come; a cell is lost with its process, its node or its memory."""
        tasks = list(self._running)
        ready, _ = self._ray.wait(tasks, timeout=seconds)
        if ready:  # and whatever else has come by now
            ready, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return [self._outcome(task) for task in ready]

    def close(self) -> None:
        """Ask the running cells to save and end, and leave the cluster."""
        try:
            for task in self._running:
                self._ray.cancel(task)
            if self._running:
                tasks = list(self._running)
                self._ray.wait(tasks, num_returns=len(tasks), timeout=STOP_SECONDS)
        finally:
            if self._is_ours:
                self._ray.shutdown()

    def _outcome(self, task: Any) -> Outcome:
        cell, started = self._running.pop(task)
        lost = self._ray.exceptions
        try:
            status, detail = self._ray.get(task)
        except lost.RayTaskError as error:
            status, detail = "failed", str(error)
        except lost.RayError as error:  # the process, its node, or its memory
            status, detail = "lost", " ".join(str(error).split())[:300]
        return Outcome(cell, cast(Any, status), detail, time.monotonic() - started)


@dataclass(frozen=True)
class Place:
    """Where the driver of a study is: what a node needs to be the same for it."""

    working: str
    """Its working folder, which relative paths start at."""
    imports: tuple[str, ...]
    """Its import path."""
    folder: str
    logs: str
    work: str
    versions: Mapping[str, str]
    environment: Mapping[str, str]


def run_there(place: Place, name: str, given: Mapping[str, Any]) -> tuple[str, Any]:
    """Run a cell on a node: its status and detail, as `attempt` gives them."""
    os.environ.update({"SIM2REAL_THREADS": "1", **place.environment})
    sys.path.extend(entry for entry in place.imports if entry not in sys.path)
    try:
        _require_same(place)
        os.chdir(place.working)
    except UserError as error:
        return "refused", str(error)
    with _printing_to(Path(place.logs) / f"ray-{socket.gethostname()}-{os.getpid()}.log"):
        status, detail = attempt(_alone(place, name), given)
    return status, json.loads(json.dumps(detail))


def _alone(place: Place, name: str) -> Any:
    """The work, while no other process makes the same cell: a node that was cut off may still."""
    from sim2real.studies.lock import lock

    work = function(place.work)

    def locked(given: Mapping[str, Any]) -> Any:
        file = Path(place.logs) / f"{name}.lock"
        with lock(file, f"making {name}", seconds=OLD_HOLDER_SECONDS):
            return work(given)

    return locked


def _require_same(place: Place) -> None:
    """UserError where a node has other versions, or does not see the study's folder."""
    node, here = socket.gethostname(), versions()
    other = [
        f"{package} {here.get(package)} in place of {version}"
        for package, version in place.versions.items()
        if package != "platform" and here.get(package) != version
    ]
    if other:
        raise UserError(f"node {node} has {', '.join(other)}; allowed: the same on every node")
    for folder in (place.working, Path(place.working, place.folder)):
        if not Path(folder).is_dir():
            raise UserError(
                f"node {node} does not see {folder}; allowed: a folder that all nodes share"
            )


def _connect(ray: Any, address: str | None, workers: int) -> None:
    """Start Ray here, or join the cluster at `address`."""
    how: dict[str, Any] = {"address": address, "log_to_driver": False}
    if address is None:
        how |= {"address": "local", "num_cpus": workers, "include_dashboard": False}
        how |= {"object_store_memory": STORE_BYTES}
    else:
        _require_listening(address)
    try:
        ray.init(logging_level=logging.ERROR, **how)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:300]
        where = "Ray did not start here" if address is None else f"no Ray cluster at {address}"
        raise UserError(f"{where}: {reason}") from None


def _require_listening(address: str) -> None:
    """UserError if nobody answers at HOST:PORT: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "/" in host:
        return  # "auto", or the address of a client
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster at {address}: {error}") from None


@contextlib.contextmanager
def _printing_to(file: Path) -> Iterator[None]:
    """Let this process print into `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(1), os.dup(2)
    with file.open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
