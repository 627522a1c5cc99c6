"""Search for the options of a recipe or a method, from a file to a report; it can be continued."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim2real.errors import UserError
from sim2real.files import read_yaml, require_writable, write_text
from sim2real.learning.progress import Display, clock
from sim2real.plain import dump_yaml
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.executors.find import Where
from sim2real.studies.executors.schedule import run_cells
from sim2real.studies.lock import lock
from sim2real.studies.tuning.config import TuneConfig, load_tune
from sim2real.studies.tuning.plan import TunePlan
from sim2real.studies.tuning.report import describe_search, write_search
from sim2real.studies.tuning.search import Search

RESOLVED = "tune.yaml"


def tune(
    config: TuneConfig | Path | str,
    *,
    executor: str = "local",
    address: str | None = None,
    workers: int | None = None,
    out: Path | str | None = None,
    progress: bool = True,
    trust_code: bool = False,
) -> dict[str, Any]:
    """Search for the options of a recipe or a method that reach most.

    `config` is the search or its YAML file. `executor`, `address`, `workers`, `out` and
    `trust_code` as in `study`; there are as many trials at once as their seeds fit on the workers.
    A search that exists in the folder goes on, also to more trials. With one worker the same
    search gives the same trials.

    Returns the report: the best trial with its options, all trials, and the importance of each
    option. Writes it into report/, and the trials for TensorBoard's HParams into tensorboard/.
    Raises UserError for whatever is unknown or impossible before any step is made, if the folder
    has another search, and if all trials failed; KeyboardInterrupt after Ctrl-C, when the runs are
    saved and the same call goes on.
    """
    where = Where(executor, workers, address)
    asked = load_tune(config, trust_code) if isinstance(config, Path | str) else config
    asked = asked if out is None else asked.model_copy(update={"out": str(out)})
    plan = TunePlan(asked)
    with _alone(asked):
        search = Search(plan)
        _work_off(search, where, progress)
        report = describe_search(search)
        if not report["best"]:
            problems = {trial["problem"] for trial in report["trials"] if trial["problem"]}
            raise UserError(f"no trial was finished: {'; '.join(sorted(problems)[:3])}")
        write_search(asked.folder, report)
    return report


def _work_off(search: Search, where: Where, progress: bool) -> None:
    """Run the trials that are left."""
    config = search.plan.config
    if not search.left:
        return
    work, seeds = "sim2real.studies.tuning.trial:run_part", len(config.seeds)
    executor = where.open(work, cells=search.left * seeds, folder=config.folder)
    display = Display(config.name) if progress else None
    cells = search.begin(max(1, executor.size // seeds))
    started, before = time.monotonic(), search.left
    outcomes = run_cells(cells, executor, follow=search.follow)
    try:
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                ended = before - search.left
                rate = (time.monotonic() - started) / ended if ended else None
                _show(display, search, outcome, rate)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{config.name}: saved; started again, it goes on") from None
    finally:
        if display is not None:
            display.close()


def _show(display: Display | None, search: Search, outcome: Outcome, rate: float | None) -> None:
    """Print what came out of a part of a trial, and the time left."""
    trials = search.plan.config.trials
    ended = trials - search.left
    left = clock(None if rate is None else rate * search.left)
    what = f"{ended} of {trials} trials, {outcome.cell.id} {outcome.status}"
    if outcome.status == "done":
        what += f", return {outcome.detail['mean']:,.1f}"
    if display is not None:
        display.line(ended / trials, f"{what}, about {left} left")
    elif outcome.status in ("failed", "lost"):
        print(f"{outcome.cell.id} {outcome.status}: {outcome.detail}", file=sys.stderr)


@contextlib.contextmanager
def _alone(config: TuneConfig) -> Iterator[None]:
    """Hold the folder of the search; UserError if another has it, or it has another search."""
    folder = config.folder
    require_writable(folder)
    for other in ("config.yaml", "study.yaml"):
        if (folder / other).exists():
            raise UserError(f"{folder} is the folder of a run or a study; allowed: another one")
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / ".lock", "running this search"):
        _require_same(config)
        write_text(folder / RESOLVED, dump_yaml(_plain(config)))
        yield


def _require_same(config: TuneConfig) -> None:
    """UserError where the folder has a search with other settings; it may be for fewer trials."""
    file = config.folder / RESOLVED
    if not file.exists():
        return
    before, now = read_yaml(file), _plain(config)
    free = ("about", "out", "trials")
    changed = [key for key in now if key not in free and before.get(key) != now[key]]
    if changed:
        raise UserError(
            f"{config.folder} has a search with another {', '.join(changed)}; allowed: the same "
            "search (to continue it, or for more trials), or another folder"
        )


def _plain(config: TuneConfig) -> dict[str, Any]:
    found = config.model_dump(mode="json", exclude={"space"})
    return {**found, "space": {name: space.plain() for name, space in config.space.items()}}
