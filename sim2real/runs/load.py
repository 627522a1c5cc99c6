"""Load a run from its folder, by the name of a shipped policy, or from the zip of a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sim2real import files
from sim2real.errors import UserError
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.foreign import foreign_run
from sim2real.runs.run import Run, at_checkpoint, read_folder

BEST: Literal["best"] = "best"
"""The checkpoint with the highest mean return on the run's learning curve."""
CURVE = Path("report", "curve.json")
_AT = re.compile(rf"(?P<path>.+)@(?P<step>{BEST}|\d{{1,15}})", re.DOTALL)


def load_run(path: Path | str, step: int | Literal["best"] | None = None, **loading: Any) -> Run:
    """Read a run at a checkpoint: that of `step`, the best one, or the last good one.

    "best" is the checkpoint with the highest mean return on the run's learning curve, which is
    measured on a few episodes: evaluate it on others. The checkpoint may also be named in the path:
    "runs/hopper@best", "runs/hopper@200704".
    `path` may be the name of a shipped policy, "pretrained:hopper". `loading` are the fields of
    `Loading`: `task` in place of the one that the run names, `task_options`, `trust_code`,
    `accept_changes`. Code that the run names is imported when its task is first used, and only if
    the user made or accepted it before, or passes `trust_code`.
    It may also be the .zip of a stable-baselines3 model, with its `task`; further arguments
    (`algorithm`, `activation`, `normalization`) are those of `foreign.foreign_run`.
    Raises UserError if the folder is not a run, if no checkpoint can be read, or if the best one is
    asked for and there is no curve.
    """
    foreign = {
        name: loading.pop(name, None) for name in ("algorithm", "activation", "normalization")
    }
    if is_zip(path):
        return foreign_run(path, loading.get("task"), loading.get("task_options"), **foreign)
    given = [name for name, value in foreign.items() if value is not None]
    if given:
        raise UserError(f"{path} is not the .zip of a model, so it takes no {', '.join(given)}")
    named = None if files.user_path(path).exists() else _AT.fullmatch(str(path))
    if named and step is not None:
        raise UserError(f"two checkpoints are given, {path} and step {step}; allowed: one")
    if named:
        path, step = named["path"], BEST if named["step"] == BEST else int(named["step"])
    folder = read_folder(path, **loading)
    return at_checkpoint(folder, best_step(folder.path) if step == BEST else step)


def is_zip(path: Path | str) -> bool:
    """Whether `path` is the .zip of a model; the folder of a run may have such a name too."""
    return str(path).endswith(".zip") and not files.user_path(path).is_dir()


def best_step(run: Path) -> int:
    """The checkpoint of a run with the highest mean return on its learning curve.

    Raises UserError if the run has no curve with a point at which there is a checkpoint, and for a
    curve that is damaged.
    """
    saved = set(checkpoints.steps(run))
    means: dict[int, float] = {}
    if (run / CURVE).is_file():
        with checkpoints.refused_if_damaged(str(run / CURVE)):
            rows = files.read_json(run / CURVE)["rows"]
            found = {int(row["steps"]): float(np.mean(row["totals"])) for row in rows}
        means = {step: mean for step, mean in found.items() if step in saved}
    if not means:
        raise UserError(
            f"{run} has no learning curve to choose the best checkpoint by; allowed: a step of "
            f"{', '.join(map(str, sorted(saved)))}; `curve` of pretrain measures one"
        )
    best: int = max(means, key=means.__getitem__)
    return best
