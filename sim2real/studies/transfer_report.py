"""The report of one transfer: what it was worth, on one page, with its figures and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sim2real.errors import UserError
from sim2real.evaluation.statistics import interval
from sim2real.evaluation.view import view
from sim2real.files import read_json, write_json
from sim2real.plain import dump_yaml
from sim2real.runs.load import CURVE, load_run
from sim2real.runs.publish import command_of
from sim2real.runs.run import Run
from sim2real.studies.report.page import words
from sim2real.studies.report.transfer_page import write_transfer
from sim2real.transfer.api import SOURCE
from sim2real.transfer.choice import REPORT as CHOICE
from sim2real.transfer.outcome import outcome

FILM = "before-after.gif"
FILM_S = 5.0
"""Simulated seconds of a film of a report, at most."""
FILMS = (".gif", ".mp4")
KINDS = ("transfer", "distill")


def report(run: Run | Path | str, *, film: bool = False) -> Path:
    """Write the report of a transfer into its folder report/; return its page, index.html.

    The page has the answer in a sentence, the returns before and after in target and source, the
    curve, what was used of the target, the domains in words, the films that lie in the folder, the
    command and the versions. report.json has the same as data, report.tex the table, figures/ each
    figure as SVG and CSV. With `film` the policies before and after are shown side by side. What
    the transfer left in report/ is used; returns that are not there are measured, see `outcome`.
    Raises UserError for a run of another kind.
    """
    loaded = run if isinstance(run, Run) else load_run(run)
    if loaded.config.kind not in KINDS:
        raise UserError(
            f"{loaded.path} is a run of {loaded.config.kind}; a report is of a run of "
            f"{' or '.join(KINDS)}; `sim2real evaluate` and `compare` take any run"
        )
    folder = loaded.path / "report"
    source = load_run(loaded.path / SOURCE, accept_changes=True)
    if film:
        _film(loaded, source, folder / FILM)
    data = _data(loaded, source, folder)
    write_json(folder / "report.json", data)
    return write_transfer(folder, data)


def _film(run: Run, source: Run, out: Path) -> None:
    """The policies before and after, side by side, in the first episode."""
    policies = {"before": source.policy, "after": run.policy}
    view(
        policies,
        run.task,
        run.domain,
        seconds=FILM_S,
        size=(320, 240),
        out=out,
        accept_changes=True,  # compared when the transfer began
    )


def _data(run: Run, source: Run, folder: Path) -> dict[str, Any]:
    """All that the page shows, as JSON."""
    config = run.config
    found = _outcome(run, folder)
    domains = {source.domain.name: source.domain, run.domain.name: run.domain}
    return {
        "name": run.path.name,
        "task": run.task.name,
        "kind": config.kind,
        "method": str((config.method or {}).get("name")),
        "budget": config.steps,
        "seed": config.seed,
        "source_name": source.domain.name,
        "outcome": found,
        "curve": _curve(run.path / CURVE, found),
        "ledger": read_json(folder / "budget.json"),
        "choice": read_json(run.path / CHOICE) if (run.path / CHOICE).is_file() else None,
        "contract": _differences(folder / "manifest.json"),
        "domains": {name: words(domain) for name, domain in domains.items()},
        "films": sorted(one.name for one in folder.iterdir() if one.suffix in FILMS),
        "made": {
            "command": command_of(config, run.task.name),
            "config": dump_yaml(config.model_dump(mode="json")),
            "versions": read_json(run.path / "versions.json"),
        },
    }


def _outcome(run: Run, folder: Path) -> dict[str, Any]:
    """What the verb wrote when this checkpoint was made, or measured now."""
    file = folder / f"{run.config.kind}.json"
    written = read_json(file) if file.is_file() else {}
    return written if written.get("steps") == run.step and "after" in written else outcome(run)


def _differences(file: Path) -> list[dict[str, Any]]:
    """The lines of the contract that are not the same on both sides."""
    lines = read_json(file)["contract"] if file.is_file() else []
    return [line for line in lines if line["source"] != line["target"]]


def _curve(file: Path, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The points of the learning curve, each with the interval of its episodes.

    Without a curve, these are the untouched policy and the last one.
    """
    if not file.is_file():
        ends = {0: found["zero_shot"], found["used"]["steps"]: found["after"]}
        return [{"steps": at, **{k: one[k] for k in _POINT}} for at, one in ends.items()]
    rows = read_json(file)["rows"]
    means = [interval(np.array([row["totals"]])).plain() for row in rows]
    return [
        {"steps": row["steps"], **{key: mean[key] for key in _POINT}}
        for row, mean in zip(rows, means, strict=True)
    ]


_POINT = ("value", "low", "high")
