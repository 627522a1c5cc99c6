"""Find an executor by its name."""

from __future__ import annotations

from pathlib import Path

from sim2real.errors import UserError, unknown, whole_number
from sim2real.studies.executors.executor import Executor, processors
from sim2real.studies.executors.inline import InlineExecutor
from sim2real.studies.executors.local import LocalExecutor

EXECUTORS = ("local", "inline")
MOST_WORKERS = 4
"""Processes for each processor, at most: more take memory and save no time."""


def check_executor(name: str, workers: int | None) -> None:
    """UserError for an unknown executor, and for a number of workers that it cannot have."""
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    if workers is None:
        return
    if name == "inline":
        raise UserError(f"workers is {workers}; the executor inline has none: it is this process")
    whole_number("workers", workers, 1, MOST_WORKERS * processors())


def open_executor(name: str, work: str, *, workers: int | None, cells: int, logs: Path) -> Executor:
    """The executor of that name, checked before, for so many cells of `work`."""
    if name == "inline":
        return InlineExecutor(work)
    return LocalExecutor(work, workers=max(1, min(workers or processors(), cells)), logs=logs)
