"""How far a study is, told from its folder; nothing is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim2real.files import absent, user_path
from sim2real.studies.config import load_study
from sim2real.studies.ledger import Ledger
from sim2real.studies.lock import holder
from sim2real.studies.status_file import read_status
from sim2real.studies.study import plan_of

COUNTS = ("total", "done", "running", "failed", "left")


def study_status(source: Path | str) -> dict[str, Any]:
    """How far a study is: `source` is its YAML file or its folder. Starts and writes nothing.

    Returns its `name`, its `folder`, `runs` (the process that runs it now, or None), the numbers of
    cells by kind (`kinds`: total, done, running, failed, left), the ids of those `running` with
    their seconds, the ids of those that `failed` when the study ran last, with the last line of the
    reason, and `seconds_left` (None if it is not known). Raises UserError as `load_study` does.
    """
    given = user_path(source)
    if not given.exists():
        raise absent(given)
    config = load_study(given / "study.yaml" if given.is_dir() else given)
    plan = plan_of(config)
    folder = given if given.is_dir() else config.folder
    ledger, runs = Ledger(folder / "cells"), holder(folder / ".lock")
    told = read_status(folder)
    done = {cell.id for cell in plan.cells.values() if ledger.is_done(cell)}
    running = told["running"] if runs else {}
    failed = {name: why for name, why in told["failed"].items() if name not in done}
    kinds: dict[str, dict[str, int]] = {}
    for name in plan.cells:
        kind = kinds.setdefault(name.partition("/")[0], dict.fromkeys(COUNTS, 0))
        kind["total"] += 1
        states = {"done": done, "running": running, "failed": failed}
        kind[next((state for state, ids in states.items() if name in ids), "left")] += 1
    return {
        "name": config.name,
        "folder": str(folder),
        "runs": runs,
        "kinds": kinds,
        "running": running,
        "failed": failed,
        "seconds_left": told["seconds_left"] if runs else None,
    }
