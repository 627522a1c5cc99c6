"""The work for each kind of cell: plain data in, the result as JSON out.

A cell that was stopped goes on from the checkpoint in its run folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sim2real.config import parse
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.references import cache_folder, cached, random_rows
from sim2real.evaluation.rollout import Row, evaluate, returns, success_rate
from sim2real.evaluation.summary import mean_quality
from sim2real.files import new_folder, read_json
from sim2real.learning.pretrain import pretrain
from sim2real.registry import load_task
from sim2real.runs.load import BEST, CURVE, load_run
from sim2real.runs.publish import keep_policy
from sim2real.runs.run import Run
from sim2real.studies.given import digest_of
from sim2real.task import Task
from sim2real.transfer.api import transfer
from sim2real.transfer.resume import resume

Result = dict[str, Any]
Training = Callable[[Mapping[str, Any], Task, Domain], Result]


def run_cell(work: Mapping[str, Any]) -> Result:
    """Do the work of one cell."""
    task = load_task(work["task"], **work["task_options"])
    return KINDS[work["kind"]](work, task, parse(Domain, work["domain"], "domain"))


def _given(work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    """A copy of the policy of a run that was given, so that the study stays whole without it."""
    folder, run = Path(work["run"]), load_run(work["reference"], task=task)
    if digest_of(run) != work["policy"]:
        raise UserError(f"{work['reference']} has changed since the study began; start it again")
    if not folder.is_dir():
        with new_folder(folder) as copy:
            keep_policy(run, copy)
    return {"run": str(folder), "steps": run.step}


def _pretrain(work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    """A training run, in the study's folder."""
    folder = Path(work["run"])
    if folder.is_dir():
        run = resume(folder, progress=False)
    else:
        recipe = dict(work["recipe"])
        run = pretrain(
            task,
            domain,
            algorithm=recipe.pop("algorithm"),
            steps=work["steps"],
            seed=work["seed"],
            out=folder,
            options=recipe,
            **work.get("more", {}),
            pictures_every=0,
            **_asked_curve(work),
            progress=False,
        )
    found = {"curve": _curve(folder)} if "points" in work else {}
    return {"run": str(folder), "steps": run.step, **found}


def _asked_curve(work: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a training for its learning curve; none without a curve."""
    if "points" not in work:
        return {}
    return {"curve": work["points"], "curve_episodes": work["episodes"]}


def _oracle(work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    """Pretrain as `_pretrain` does, once only."""
    return _trained_once(work, task, domain, _pretrain)


def _continue(work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    """Transfer as `_transfer` does, once only."""
    result = _trained_once(work, task, domain, _transfer)
    return {"run": result["run"], "steps": result["steps"][-1], "curve": _curve(Path(work["run"]))}


def _trained_once(work: Mapping[str, Any], task: Task, domain: Domain, train: Training) -> Result:
    """The result of `train`; its run is copied into the user's cache, or taken from there."""
    folder = Path(work["run"])
    entry = cache_folder() / "oracle" / work["key"]
    if entry.is_dir() and not folder.is_dir():
        with new_folder(folder) as copy:
            shutil.copytree(entry, copy, dirs_exist_ok=True)
    result = train(work, task, domain)

    def keep(copy: Path) -> None:
        shutil.copytree(folder, copy, dirs_exist_ok=True)

    cached("oracle", work["key"], keep)
    return result


def _curve(folder: Path) -> Result:
    """The learning curve in a run folder: control steps, and the returns at each."""
    rows = read_json(folder / CURVE)["rows"]
    return {"steps": [row["steps"] for row in rows], "totals": [row["totals"] for row in rows]}


def _random(work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    """Returns of uniform actions."""
    return _measured(random_rows(task, domain, episodes=work["episodes"], seed=work["seed"]))


def _evaluate(work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    """Returns of a trained policy as it is."""
    return _returns(load_run(work["source"]), work, task, domain)


def _best(work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    """Returns of the best policy of a training, by its learning curve, on other episodes."""
    run = load_run(work["source"], BEST)
    return {"step": run.step, **_returns(run, work, task, domain)}


def _returns(run: Run, work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    rows = evaluate(run.policy, task, domain, episodes=work["episodes"], seed=work["seed"])
    return _measured(rows)


def _transfer(work: Mapping[str, Any], task: Task, domain: Domain) -> Result:
    """A method within the budget: its learning curve and what it used."""
    folder = Path(work["run"])
    if folder.is_dir():
        resume(folder, progress=False)
    else:
        transfer(
            work["source"],
            domain,
            method=work["method"],
            budget=work["budget"],
            seed=work["seed"],
            out=folder,
            **_asked_curve(work),
            task=task,
            progress=False,
        )
    curve = read_json(folder / CURVE)["rows"]
    if curve[-1]["unstable"] == len(curve[-1]["totals"]):
        raise UserError(f"{folder}: all episodes at the end became unstable: there is no return")
    return {
        "run": str(folder),
        "steps": [row["steps"] for row in curve],
        "totals": [row["totals"] for row in curve],
        "failed": [row["failed"] for row in curve],
        "unstable": [row["unstable"] for row in curve],
        "quality": curve[-1].get("quality", {}),
        "used": read_json(folder / "report" / "budget.json")["used"],
    }


KINDS: dict[str, Training] = {
    "pretrain": _pretrain,
    "oracle": _oracle,
    "continue": _continue,
    "given": _given,
    "random": _random,
    "evaluate": _evaluate,
    "best": _best,
    "transfer": _transfer,
}


def _measured(rows: tuple[Row, ...]) -> Result:
    """The rows of one domain as a cell keeps them, in the order of the episodes."""
    return {
        "totals": returns(rows).tolist(),
        "lengths": [row.length for row in rows],
        "failed": sum(row.failed for row in rows),
        "unstable": sum(row.unstable for row in rows),
        "success": success_rate(rows),
        "quality": mean_quality(rows),
    }
