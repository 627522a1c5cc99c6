"""The work of one part of a trial: train to the next evaluation, and evaluate."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim2real.config import parse
from sim2real.domains import Domain
from sim2real.learning.callbacks import Paused
from sim2real.learning.curve import measure
from sim2real.learning.pretrain import pretrain, resume_pretraining
from sim2real.registry import load_task
from sim2real.runs.load import load_run
from sim2real.runs.run import read_folder
from sim2real.task import Task
from sim2real.transfer.api import transfer
from sim2real.transfer.resume import resume


def run_part(work: Mapping[str, Any]) -> dict[str, Any]:
    """Continue the run of a trial up to `pause` (None: to its end); the return that it has then.

    The same part again gives the same result, whatever was interrupted in between.
    """
    task = load_task(work["task"], **work["task_options"])
    domain = parse(Domain, work["domain"], "domain")
    with contextlib.suppress(Paused):
        (_transfer if "method" in work else _train)(work, task, domain)
    run = load_run(work["run"], task=task)
    measured_in = parse(Domain, work["evaluate_in"], "evaluate_in")
    how = {"seed": work["seed"], "episodes": work["episodes"]}
    return {"steps": run.step, **measure(run.policy, task, measured_in, **how)}


def _train(work: Mapping[str, Any], task: Task, domain: Domain) -> None:
    folder = Path(work["run"])
    if folder.is_dir():
        resume_pretraining(read_folder(folder, task=task), progress=False, pause=work["pause"])
        return
    recipe = dict(work["recipe"])
    pretrain(
        task,
        domain,
        algorithm=recipe.pop("algorithm"),
        steps=work["steps"],
        seed=work["seed"],
        out=folder,
        options=recipe,
        pictures_every=0,
        pause=work["pause"],
        progress=False,
    )


def _transfer(work: Mapping[str, Any], task: Task, domain: Domain) -> None:
    folder = Path(work["run"])
    if folder.is_dir():
        resume(folder, progress=False)
        return
    transfer(
        work["source"],
        domain,
        method=work["method"],
        budget=work["budget"],
        seed=work["seed"],
        out=folder,
        task=task,
        progress=False,
    )
