"""The interface of what runs the cells of a study: in this process, on others, on a cluster."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sim2real.errors import UserError
from sim2real.studies.ledger import Cell


@dataclass(frozen=True)
class Outcome:
    """The outcome of one cell: `detail` is the result, the one-line error or the traceback.

    A cell is "lost" when its process or machine has ended under it.
    """

    cell: Cell
    status: Literal["done", "refused", "failed", "interrupted", "lost"]
    detail: Any
    seconds: float


class Executor(Protocol):
    """Runs cells, at most `size` at once. The work is a function from JSON to JSON."""

    @property
    def size(self) -> int:
        """Cells that run at once; it may change where machines come and go."""
        raise NotImplementedError("size -> int")

    def start(self, cell: Cell) -> None:
        """Start a cell; not more than `size` at once."""
        raise NotImplementedError("def start(self, cell: Cell) -> None")

    def wait(self, seconds: float) -> Sequence[Outcome]:
        """The outcomes of the cells that have ended; waits at most so long for the first one."""
        raise NotImplementedError("def wait(self, seconds: float) -> Sequence[Outcome]")

    def close(self) -> None:
        """Let the running cells save and end, and leave no process."""
        raise NotImplementedError("def close(self) -> None")


Work = Callable[[Mapping[str, Any]], Any]
"""From the work of a cell to its result, both JSON."""


def function(reference: str) -> Work:
    """The work that "module:function" names."""
    module, _, name = reference.partition(":")
    work: Work = getattr(importlib.import_module(module), name)
    return work


def attempt(work: Work, given: Mapping[str, Any]) -> tuple[str, Any]:
    """Do the work: the status, and the result, the one line for a user, or the traceback."""
    try:
        return "done", work(given)
    except UserError as error:
        return "refused", str(error)
    except KeyboardInterrupt:
        return "interrupted", ""
    except Exception:
        return "failed", traceback.format_exc()


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_each(workers: int) -> dict[str, str]:
    """Environment variables that divide the processors of this machine among `workers`.

    Worlds are stepped by as many threads as there are processors for each worker. Matrices are
    computed by one, as the last bits of a result depend on that number.
    """
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**one, "SIM2REAL_THREADS": str(max(1, processors() // workers))}
