"""Load a run from its folder, by the name of a shipped policy, or from the zip of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim2real.errors import UserError
from sim2real.runs.foreign import foreign_run
from sim2real.runs.run import Run, at_checkpoint, read_folder


def load_run(path: Path | str, step: int | None = None, **loading: Any) -> Run:
    """Read a run at a checkpoint: that of `step`, or the last good one.

    `path` may be the name of a shipped policy, "pretrained:hopper". `loading` are the fields of
    `Loading`: `task` in place of the one that the run names, `task_options`, `trust_code`,
    `accept_changes`. Code that the run names is imported when its task is first used, and only if
    the user made or accepted it before, or passes `trust_code`.
    It may also be the .zip of a stable-baselines3 model, with its `task`; further arguments
    (`algorithm`, `activation`, `normalization`) are those of `foreign.foreign_run`.
    Raises UserError if the folder is not a run or no checkpoint can be read.
    """
    foreign = {
        name: loading.pop(name, None) for name in ("algorithm", "activation", "normalization")
    }
    if str(path).endswith(".zip"):
        return foreign_run(path, loading.get("task"), loading.get("task_options"), **foreign)
    given = [name for name, value in foreign.items() if value is not None]
    if given:
        raise UserError(f"{path} is not the .zip of a model, so it takes no {', '.join(given)}")
    return at_checkpoint(read_folder(path, **loading), step)
