"""Cells on local worker processes: one thread each, no orphans, failures reported in full.

A worker is a fresh interpreter in its own session, so that Ctrl-C reaches the main process
alone, which then asks each worker once to save and stop. A worker whose main process has ended
or was killed ends itself (see `worker`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from sim2real.studies.ledger import Cell

STOP_SECONDS = 30.0
"""How long workers may take to finish a rollout and save it after Ctrl-C."""

TICK_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """The outcome of one cell: `detail` is the result, the one-line error or the traceback."""

    cell: Cell
    status: Literal["done", "refused", "failed", "interrupted"]
    detail: Any
    seconds: float


class _Worker:
    """One process that gets cells and gives outcomes over its pipes."""

    def __init__(self, work: str, log: Path) -> None:
        self.log = log
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sim2real.studies.worker", work, str(log)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
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
        """The outcome of its cell; the death of the process is an outcome, too."""
        assert self.cell is not None
        cell, seconds = self.cell, time.monotonic() - self.started
        self.cell = None
        answer = self.answers.readline()
        if answer.endswith("\n"):
            status, detail = json.loads(answer)
        else:
            status, detail = "failed", f"{_death(self.process.wait())}; its log is {self.log}"
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


def run_cells(
    cells: Sequence[Cell],
    work: str,
    *,
    workers: int,
    logs: Path,
    done: Sequence[str] = (),
    tick: Callable[[Sequence[Cell]], None] = lambda running: None,
) -> Generator[Outcome, None, None]:
    """Run `cells` on `workers` processes; yields each outcome as it comes.

    `work` is "module:function", from a cell's work to its result, both JSON. A cell starts when
    all cells that it needs are done (`done`: ids of earlier ones), and not at all if one failed.
    `tick` is called twice a second with the cells that are running. On KeyboardInterrupt, and when
    the caller closes the iterator, the workers finish their rollout, save it and end.
    """
    waiting, finished = list(cells), set(done)
    pool: list[_Worker] = []
    try:
        while True:
            _dispatch(waiting, finished, pool, work, workers, logs)
            busy = [worker for worker in pool if worker.cell is not None]
            if not busy:
                return
            tick([worker.cell for worker in busy if worker.cell is not None])
            for worker in _answering(busy, TICK_SECONDS):
                outcome = worker.take()
                if outcome.status == "done":
                    finished.add(outcome.cell.id)
                if worker.process.poll() is not None:
                    pool.remove(worker)
                    worker.close(0)
                yield outcome
    finally:
        _close(pool)


def _dispatch(
    waiting: list[Cell],
    finished: set[str],
    pool: list[_Worker],
    work: str,
    workers: int,
    logs: Path,
) -> None:
    """Give the cells that are ready to idle workers, starting workers as they are needed."""
    for cell in [one for one in waiting if finished.issuperset(one.needs)]:
        idle = next((worker for worker in pool if worker.cell is None), None)
        if idle is None:
            if len(pool) >= workers:
                return
            logs.mkdir(parents=True, exist_ok=True)
            pool.append(idle := _Worker(work, logs / f"worker-{len(pool)}.log"))
        idle.give(cell)
        waiting.remove(cell)


def _answering(busy: Sequence[_Worker], seconds: float) -> list[_Worker]:
    """The workers that have an answer, or have died, within so many seconds."""
    ready, _, _ = select.select([worker.answers for worker in busy], [], [], seconds)
    return [worker for worker in busy if worker.answers in ready]


def _close(pool: Sequence[_Worker]) -> None:
    """End all workers; those at work are asked to save first. Nothing is left running."""
    busy = [worker for worker in pool if worker.cell is not None]
    deadline = time.monotonic() + STOP_SECONDS
    try:
        for worker in busy:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGINT)
        while busy and time.monotonic() < deadline:
            answered = _answering(busy, deadline - time.monotonic())
            busy = [worker for worker in busy if worker not in answered]
    finally:  # after a second Ctrl-C at once
        for worker in pool:
            worker.close(1.0)


def _environment() -> dict[str, str]:
    """The environment of a worker: one thread for everything, the same import path as here."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "SIM2REAL_THREADS"), "1")
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, **one, "PYTHONPATH": path}


def _death(exitcode: int) -> str:
    """The exit code of a process in words."""
    if exitcode < 0:
        return f"the worker was killed by {signal.Signals(-exitcode).name}"
    return f"the worker ended with exit code {exitcode}"
