"""The report of a search: its trials, the best one, the importance of each option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from torch.utils.tensorboard import SummaryWriter

from sim2real.evaluation.figures import COLOURS, GREY
from sim2real.evaluation.page import png
from sim2real.files import write_bytes, write_json, write_text
from sim2real.learning.tensorboard import write_hyperparameters
from sim2real.studies.tuning.search import PROBLEM, Search

ENOUGH = 5
"""Finished trials from which the importance of an option is estimated."""
OBJECTIVE = "objective"
"""The metric of a trial in TensorBoard."""


def describe_search(search: Search) -> dict[str, Any]:
    """All that the report shows, as JSON."""
    config = search.plan.config
    trials = [_trial(search, trial) for trial in search.study.trials]
    finished = [trial for trial in trials if trial["state"] == "complete"]
    best = max(finished, key=lambda trial: trial["value"], default=None)
    return {
        "format": 1,
        "name": config.name,
        "about": config.about,
        "task": search.plan.task.name,
        "objective": config.objective,
        "evaluated_in": search.plan.evaluated_in.name,
        "seeds": list(config.seeds),
        "best": best,
        "importance": _importance(search, len(finished)),
        "trials": trials,
    }


def _trial(search: Search, trial: Any) -> dict[str, Any]:
    """One trial: its options, its curve (the objective after each part), and its end."""
    values = {name: search.plan.config.space[name].value(one) for name, one in trial.params.items()}
    numbers = sorted(trial.intermediate_values)
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "options": values,
        "curve": [trial.intermediate_values[number] for number in numbers],
        "problem": trial.user_attrs.get(PROBLEM, ""),
    }


def _importance(search: Search, finished: int) -> dict[str, float] | None:
    """Of each option, in [0, 1] with the sum 1; None with too few trials.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv:2304.10255): how much the best trials differ
    from all in each option.
    """
    if finished < ENOUGH:
        return None
    optuna = search.plan.optuna
    found = optuna.importance.get_param_importances(
        search.study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
    )
    return {name: float(value) for name, value in found.items()}


def write_search(folder: Path, report: dict[str, Any]) -> None:
    """Write report/tune.json, report.md and history.png, and the trials for TensorBoard."""
    write_json(folder / "report" / "tune.json", report)
    write_text(folder / "report" / "report.md", _page(report))
    write_bytes(folder / "report" / "history.png", png(lambda axes: _history(axes, report)))
    for trial in report["trials"]:
        place = folder / "tensorboard" / f"trial-{trial['number']:04d}"
        if trial["curve"] and not place.exists():
            _to_tensorboard(place, trial)


def _to_tensorboard(place: Path, trial: dict[str, Any]) -> None:
    writer = SummaryWriter(str(place))
    write_hyperparameters(writer, trial["options"], [OBJECTIVE])
    for part, value in enumerate(trial["curve"], 1):
        writer.add_scalar(OBJECTIVE, value, part)
    writer.close()


def _history(axes: Axes, report: dict[str, Any]) -> None:
    """The value of each trial, pruned ones hollow, and the best so far."""
    for state, face in (("complete", COLOURS[0]), ("pruned", "none")):
        shown = [one for one in report["trials"] if one["state"] == state]
        axes.scatter(
            [one["number"] for one in shown],
            [one["value"] for one in shown],
            facecolors=face,
            edgecolors=COLOURS[0],
            label=state,
        )
    finished = [one for one in report["trials"] if one["state"] == "complete"]
    best = [max(one["value"] for one in finished[: n + 1]) for n in range(len(finished))]
    axes.step([one["number"] for one in finished], best, where="post", color=GREY, label="best")
    axes.set_xlabel("trial")
    axes.set_ylabel(report["objective"].replace("_", " "))
    axes.legend(frameon=False)


def _page(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    best = report["best"]
    lines = [
        f"# {report['name']}",
        "",
        f"{report['about']}".strip(),
        "",
        f"Objective: {report['objective']} in {report['evaluated_in']}, the mean of the seeds "
        f"{', '.join(map(str, report['seeds']))}. The best of many trials is biased upwards: "
        "measure its options again with other seeds, in a study.",
        "",
        f"Best: trial {best['number']}, {best['value']:,.4g}.",
        "",
        "| option | best value | importance |",
        "|---|---|---|",
    ]
    importance = report["importance"] or {}
    for name, value in best["options"].items():
        share = f"{importance[name]:.0%}" if name in importance else "-"
        lines.append(f"| {name} | {_text(value)} | {share} |")
    names = list(best["options"])
    lines += ["", "![The value of each trial](history.png)", ""]
    lines += [f"| trial | state | value | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    for trial in sorted(report["trials"], key=lambda one: _order(one["value"])):
        value = "-" if trial["value"] is None else f"{trial['value']:,.4g}"
        state = f"{trial['state']}: {trial['problem']}" if trial["problem"] else trial["state"]
        cells = [_text(trial["options"].get(name)) for name in names]
        lines.append(f"| {trial['number']} | {state} | {value} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _order(value: float | None) -> tuple[bool, float]:
    return value is None, -(value or 0.0)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
