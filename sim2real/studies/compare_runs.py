"""Runs side by side: their returns on the same episodes, and what differs in how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim2real.domains import Domain, load_each
from sim2real.errors import UserError
from sim2real.evaluation.rollout import Row, by_domain, evaluate, returns
from sim2real.evaluation.statistics import compare as compare_returns
from sim2real.evaluation.statistics import interval
from sim2real.evaluation.summary import summary
from sim2real.files import read_json
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.studies.report.page import words

Plain = dict[str, Any]


def compare(
    runs: Sequence[Run | Path | str],
    domains: Sequence[str | Domain] = ("nominal",),
    *,
    episodes: int = 100,
    seed: int = 0,
) -> Plain:
    """Two or more runs of one task, on the same episodes of each domain, as JSON.

    `returns` has for each domain and run the mean return, the difference to the first run, paired
    by episode, and the failures; `differs` the settings, versions and domains that are not the same
    in all runs, a value a run. The intervals are those of these policies over their episodes: a
    comparison of methods needs several seeds, see `study`.
    Raises UserError for fewer than two runs, for the same run twice, and for runs of several tasks.
    """
    several = [one if isinstance(one, Run) else load_run(one) for one in runs]
    if len(several) < 2:
        raise UserError(f"{len(several)} runs are given; a comparison needs two or more")
    labels = _labels(several)
    tasks = {run.task.name for run in several}
    if len(tasks) > 1:
        raise UserError(
            f"the runs are of the tasks {', '.join(sorted(tasks))}; allowed: runs of one task, as "
            "returns of different tasks have no common unit"
        )
    task = several[0].task
    loaded = load_each(task, domains)
    rows = {
        label: by_domain(evaluate(run.policy, task, loaded, episodes=episodes, seed=seed))
        for label, run in zip(labels, several, strict=True)
    }
    first = rows[labels[0]]
    return {
        "task": task.name,
        "runs": labels,
        "episodes": episodes,
        "seed": seed,
        "returns": {
            name: {label: _measured(own[name], first[name]) for label, own in rows.items()}
            for name in first
        },
        "differs": differing(dict(zip(labels, map(_settings, several), strict=True))),
        "domains": {domain.name: words(domain) for domain in loaded},
    }


def _labels(runs: Sequence[Run]) -> list[str]:
    """The names of the folders, the whole paths where names are not unique."""
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise UserError("a run is given twice; allowed: each once")
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _measured(own: Sequence[Row], first: Sequence[Row]) -> Plain:
    told = summary(own[0].domain, own)
    difference = None if own is first else compare_returns([returns(own)], [returns(first)])
    return {
        "return": interval([returns(own)]).plain(),
        "difference": difference and difference.plain(),
        "failure_rate": told["failure_rate"],
        "failure_interval": told["failure_interval"],
    }


def _settings(run: Run) -> Plain:
    """What a run was made with, as a flat mapping."""
    versions = read_json(run.path / "versions.json")
    found = {"config": run.config.model_dump(mode="json"), "versions": versions}
    found["checkpoint"] = run.step
    found["domain"] = {run.domain.name: "; ".join(run.domain.describe()) or "nothing differs"}
    return _flat(found)


def _flat(value: Any, name: str = "") -> Plain:
    """The leaves of nested mappings, by their dotted names."""
    if not isinstance(value, Mapping):
        return {name: value}
    found: Plain = {}
    for key, one in value.items():
        found |= _flat(one, f"{name}.{key}" if name else str(key))
    return found


def differing(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The settings that are not the same in all runs: by name, the value of each run.

    >>> differing({"a": {"seed": 0, "steps": 9}, "b": {"seed": 1, "steps": 9}})
    {'seed': {'a': 0, 'b': 1}}
    """
    names = dict.fromkeys(name for own in settings.values() for name in own)
    table = {name: {run: own.get(name) for run, own in settings.items()} for name in names}
    return {
        name: values
        for name, values in table.items()
        if any(one != next(iter(values.values())) for one in values.values())
    }
