"""Find an executor by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sim2real.errors import UserError, unknown, whole_number
from sim2real.studies.executors.executor import Executor, processors
from sim2real.studies.executors.inline import InlineExecutor
from sim2real.studies.executors.local import LocalExecutor
from sim2real.studies.executors.ray_cluster import RayExecutor

MOST_AT_ONCE = 100_000
"""Cells at once on a cluster, at most."""
EXECUTORS = ("local", "inline", "ray")
MOST_WORKERS = 4
"""Processes for each processor, at most: more take memory and save no time."""


@dataclass(frozen=True)
class Where:
    """Where the cells of a study run. Raises UserError for what cannot be.

    `workers` are the cells at once; `address` is that of a Ray cluster, which may have more
    processors than this machine.
    """

    executor: str = "local"
    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise unknown("executor", self.executor, EXECUTORS)
        if self.address is not None and self.executor != "ray":
            raise UserError(f"address is of Ray; executor is {self.executor!r}; allowed: 'ray'")
        if self.workers is None:
            return
        if self.executor == "inline":
            raise UserError(
                f"workers is {self.workers}; the executor inline has none: it is this process"
            )
        here = MOST_WORKERS * processors()
        whole_number("workers", self.workers, 1, here if self.address is None else MOST_AT_ONCE)

    def open(self, work: str, *, cells: int, folder: Path) -> Executor:
        """The executor for so many cells of `work`, with its logs in the folder of the study."""
        logs = folder / "logs"
        if self.executor == "inline":
            return InlineExecutor(work)
        if self.executor == "ray":
            return RayExecutor(
                work, workers=self.workers, address=self.address, folder=folder, logs=logs
            )
        workers = max(1, min(self.workers or processors(), cells))
        return LocalExecutor(work, workers=workers, logs=logs)
