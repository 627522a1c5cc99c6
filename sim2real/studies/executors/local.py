"""Cells on local worker processes: processors shared out, no orphans, failures told in full.

A worker is a fresh interpreter in its own session, so that Ctrl-C reaches the main process
alone, which then asks each worker once to save and stop. A worker whose main process has ended
or was killed ends itself (see `worker`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, cast

from sim2real.studies.executors.executor import Outcome, threads_each
from sim2real.studies.ledger import Cell

STOP_SECONDS = 30.0
"""How long workers may take to finish a rollout and save it after Ctrl-C."""


class LocalExecutor:
    """Up to `workers` processes, which are started as they are needed.

    `work` is "module:function", from a cell's work to its result. What the workers print goes
    into the folder `logs`.
    """

    def __init__(self, work: str, *, workers: int, logs: Path) -> None:
        self.size = workers
        self._work, self._logs = work, logs
        self._pool: list[_Worker] = []

    def start(self, cell: Cell) -> None:
        """Give the cell to an idle worker, or to a new one."""
        idle = next((worker for worker in self._pool if worker.cell is None), None)
        if idle is None:
            self._logs.mkdir(parents=True, exist_ok=True)
            logs = (self._logs / f"worker-{number}.log" for number in range(self.size))
            taken = {worker.log for worker in self._pool}
            free = next(log for log in logs if log not in taken)
            idle = _Worker(self._work, free, self.size)
            self._pool.append(idle)
        idle.give(cell)

    def wait(self, seconds: float) -> list[Outcome]:
        """The outcomes that have come; a worker that has died is replaced by the next start."""
        outcomes = []
        for worker in _answering(self._busy(), seconds):
            outcomes.append(worker.take())
            if worker.process.poll() is not None:
                self._pool.remove(worker)
                worker.close(0)
        return outcomes

    def close(self) -> None:
        """End all workers; those at work are asked to save first. Nothing is left running."""
        busy = self._busy()
        deadline = time.monotonic() + STOP_SECONDS
        try:
            for worker in busy:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)
            while busy and time.monotonic() < deadline:
                answered = _answering(busy, deadline - time.monotonic())
                busy = [worker for worker in busy if worker not in answered]
        finally:  # after a second Ctrl-C at once
            for worker in self._pool:
                worker.close(1.0)

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._pool if worker.cell is not None]


class _Worker:
    """One process that gets cells and gives outcomes over its pipes."""

    def __init__(self, work: str, log: Path, workers: int) -> None:
        self.log = log
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sim2real.studies.executors.worker", work, str(log)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(workers),
                text=True,
                start_new_session=True,
            )
        self.answers = cast(IO[str], self.process.stdout)
        self.orders = cast(IO[str], self.process.stdin)
        self.cell: Cell | None = None
        self.started = 0.0

    def give(self, cell: Cell) -> None:
        """Start `cell`; a worker that has died is noticed when its answer is taken."""
        self.cell, self.started = cell, time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(dict(cell.work)), file=self.orders, flush=True)

    def take(self) -> Outcome:
        """The outcome of its cell, which is lost if the process has died."""
        assert self.cell is not None
        cell, seconds = self.cell, time.monotonic() - self.started
        self.cell = None
        answer = self.answers.readline()
        if answer.endswith("\n"):
            status, detail = json.loads(answer)
        else:
            status, detail = "lost", f"{_death(self.process.wait())}; its log is {self.log}"
        return Outcome(cell, status, detail, seconds)

    def close(self, seconds: float) -> None:
        """End the process: by closing its input, then by force."""
        with contextlib.suppress(BrokenPipeError):
            self.orders.close()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.answers.close()


def _answering(busy: Sequence[_Worker], seconds: float) -> list[_Worker]:
    """The workers that have an answer, or have died, within so many seconds."""
    ready = wait([worker.answers.fileno() for worker in busy], seconds)
    return [worker for worker in busy if worker.answers.fileno() in ready]


def _environment(workers: int) -> dict[str, str]:
    """The environment of one of so many workers, with the import path of this process."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, **threads_each(workers), "PYTHONPATH": path}


def _death(exitcode: int) -> str:
    """The exit code of a process in words."""
    if exitcode < 0:
        return f"the worker was killed by {signal.Signals(-exitcode).name}"
    return f"the worker ended with exit code {exitcode}"
