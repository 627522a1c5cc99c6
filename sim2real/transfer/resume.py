"""Continue what was stopped: a pretraining or a transfer, or extend one that is finished."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from sim2real import files
from sim2real.config import MOST_STEPS
from sim2real.errors import UserError, whole_number
from sim2real.learning.extension import adds_steps, differences, extend
from sim2real.learning.loop import report_rounding
from sim2real.learning.pretrain import resume_pretraining
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.pretrained import find_run, is_published
from sim2real.runs.run import Run, RunFolder, read_folder, versions
from sim2real.transfer.api import SOURCE, SOURCE_STEPS, resume_transfer
from sim2real.transfer.budget import Budget
from sim2real.transfer.find import method_of
from sim2real.transfer.work import PHASES


def resume(
    run_path: Path | str, progress: bool = True, steps: int | None = None, **loading: Any
) -> Run:
    """Continue a run from its last good checkpoint until it has all its steps.

    Weights, optimizer and curves come out as if it had never stopped. A finished run is returned
    as it is, unless `steps` asks for more control steps in all than it was asked for. It then has
    the weights of a run of `steps` from the start; a warning gives the reasons where it cannot.
    `loading` is that of `load_run`: `task`, `task_options`, `trust_code`.
    Raises UserError if it is not a run, if all its checkpoints are damaged, and for fewer `steps`
    than it was asked for.
    """
    path = find_run(run_path)
    folder = read_folder(path, **loading)
    kind = folder.config.kind
    if is_published(path) or kind == "foreign":
        raise UserError(f"{run_path} is a published policy without training state; transfer it")
    _warn_of_versions(path)
    if steps is not None:
        folder = _extended(folder, steps)
        if progress:
            report_rounding("steps", steps, folder.config.num_envs)
    before = checkpoints.steps(path)[-1:]
    go_on = resume_pretraining if kind == "pretrain" else resume_transfer
    run = go_on(folder, progress)
    if progress and before and before == checkpoints.steps(path)[-1:]:
        print(f"{path} was finished before; `--steps MORE` extends it", file=sys.stderr)
    return run


def _extended(folder: RunFolder, steps: int) -> RunFolder:
    """The run asked for `steps`, with a warning where it will differ from one asked at once.

    As it is if it was asked for so many before: the same command goes on after an interruption.
    """
    if not adds_steps(folder, whole_number("steps", steps, 1, MOST_STEPS)):
        return folder
    if any((folder.path / name).exists() for name in (PHASES, SOURCE_STEPS)):
        raise UserError(
            f"{folder.path}: its method has a loop of its own, which {folder.config.steps} steps "
            "were given to; allowed: another transfer with a larger budget"
        )
    for reason in _differences(folder, steps):
        warnings.warn(
            f"{folder.path} differs from a run of {steps} steps from the start: {reason}",
            stacklevel=3,
        )
    return extend(folder, steps)


def _differences(folder: RunFolder, steps: int) -> list[str]:
    """Why the run will differ, its method's plans for another budget included."""
    config = folder.config
    recipe = config.parsed_recipe()
    done = max(checkpoints.steps(folder.path), default=0)
    if config.method is None:
        return differences(config, recipe, steps, done)
    method = method_of(folder, config.method)
    reasons = differences(config, method.of_learner(recipe), steps, done)
    source = read_folder(folder.path / SOURCE).config.parsed_recipe()
    planned = method.scheduled(source, Budget(steps))
    for budget in (*config.extended, config.steps):
        if method.scheduled(source, Budget(budget)) != planned:
            reasons.append(f"its method was prepared for a budget of {budget} steps")
            break
    return reasons


def _warn_of_versions(path: Path) -> None:
    """A resumed run equals an uninterrupted one only on the same versions."""
    made, now = files.read_json(path / "versions.json"), versions()
    changed = [
        f"{name} {made[name]} -> {now.get(name)}" for name in made if made[name] != now.get(name)
    ]
    if changed:
        warnings.warn(f"{path} was made with other versions: {', '.join(changed)}", stacklevel=3)
