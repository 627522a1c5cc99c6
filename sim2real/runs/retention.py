"""Which checkpoints of a run are kept."""

from __future__ import annotations

import contextlib
from pathlib import Path

from sim2real import files
from sim2real.errors import UserError
from sim2real.runs.checkpoint import folder_of, steps
from sim2real.runs.load import best_step


def keep_last(run: Path, count: int) -> None:
    """Remove the checkpoints of a run, except the last `count` and the best of its curve."""
    found = steps(run)
    kept = set(found[-count:])
    with contextlib.suppress(UserError):  # it has no curve
        kept.add(best_step(run))
    for step in found:
        if step not in kept:
            files.remove_folder(folder_of(run, step))
