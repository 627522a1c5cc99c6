"""Run a study from its file to its report; a study that is started again continues."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sim2real.domains import Domain
from sim2real.errors import UserError, listed
from sim2real.evaluation.references import References, keep_references
from sim2real.files import remove_unfinished, require_writable, write_text
from sim2real.plain import dump_yaml
from sim2real.runs.run import versions
from sim2real.studies.audit import audit_domains
from sim2real.studies.comparison import (
    WORST,
    ComparisonPlan,
    comparison_notes,
    reached,
    summarize_comparison,
    summarize_trade_off,
)
from sim2real.studies.config import ComparisonConfig, StudyConfig, load_study
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.executors.find import Where
from sim2real.studies.executors.schedule import ATTEMPTS, run_cells
from sim2real.studies.ledger import Cell, Ledger
from sim2real.studies.lock import lock
from sim2real.studies.plan import StudyPlan
from sim2real.studies.progress import StudyProgress, TimeLeft
from sim2real.studies.report.comparison_page import write_comparison
from sim2real.studies.report.page import words
from sim2real.studies.report.report import write_report
from sim2real.studies.results import domain_references, quality, reference_cells, results
from sim2real.studies.status_file import StatusFile
from sim2real.studies.summary import Results, means, summarize

AnyPlan = StudyPlan | ComparisonPlan


class CellsFailed(RuntimeError):
    """Cells that failed, each with its id and traceback; finished cells stay."""


def study(
    config: StudyConfig | ComparisonConfig | Path | str,
    *,
    executor: str = "local",
    address: str | None = None,
    workers: int | None = None,
    out: Path | str | None = None,
    progress: bool = True,
    trust_code: bool = False,
) -> dict[str, Any]:
    """Run a study on `workers` processes (by default one a processor, at most four).

    With `executor="inline"` it runs in this process, with "ray" on the Ray cluster at `address`,
    with a worker for each of its processors; without an address Ray is started here. A run whose
    process or machine dies goes on from its last checkpoint. `out` is the folder in place of the
    one that the study names.

    Returns its report. `config` is the study or its YAML file, whose code must be trusted (see
    `load_study`). Writes report/index.html, report.md and report.json into the study's folder.
    Results that exist, of the same content, are not made again.

    Raises UserError for what is unknown or impossible, and for domains that do not pass their audit
    (AuditFailed), before anything is run; CellsFailed, with ids and tracebacks, when everything
    else is done; KeyboardInterrupt after a first Ctrl-C, when the trainings are saved and the same
    call goes on.
    """
    where = Where(executor, workers, address)
    asked = load_study(config, trust_code) if isinstance(config, Path | str) else config
    asked = asked if out is None else asked.model_copy(update={"out": str(out)})
    plan = plan_of(asked)
    started = time.monotonic()
    with _alone(asked.folder):
        remove_unfinished(asked.folder)
        write_text(asked.folder / "study.yaml", _dump(asked))
        ledger = Ledger(asked.folder / "cells")
        if not all(ledger.is_done(cell) for cell in plan.cells.values()):
            audit_domains(asked, plan.task, plan.worlds)
        _work_off(plan, ledger, where, progress)
        report = _report(plan, ledger)
        report["made"] |= {"seconds": round(time.monotonic() - started, 1)}
        write = write_report if isinstance(plan, StudyPlan) else write_comparison
        write(asked.folder / "report", report)
    return report


def plan_of(config: StudyConfig | ComparisonConfig) -> AnyPlan:
    """The checked plan of a study; UserError for whatever is unknown or impossible."""
    return StudyPlan(config) if isinstance(config, StudyConfig) else ComparisonPlan(config)


def _work_off(plan: AnyPlan, ledger: Ledger, where: Where, progress: bool) -> None:
    """Make the results that are missing; raise for cells that failed."""
    cells = sorted(plan.cells.values(), key=lambda cell: (cell.rank, -cell.steps))
    done = [cell for cell in cells if ledger.is_done(cell)]
    finished = {cell.id for cell in done}
    left = [cell for cell in cells if cell.id not in finished]
    before = f"{len(done)} of {len(cells)} were done before"
    if not left:
        if progress:
            print(f"{plan.config.name}: {before}", file=sys.stderr)
        return
    folder = plan.config.folder
    executor = where.open("sim2real.studies.work:run_cell", cells=len(left), folder=folder)
    time_left = TimeLeft(cells, done, executor.size)
    status = StatusFile(folder, time_left)
    display = (
        StudyProgress(plan.config.name, len(cells), len(done), time_left) if progress else None
    )
    watching: list[TimeLeft | StatusFile | StudyProgress] = [time_left, status]
    watching += [display] if display is not None else []
    if display is not None and done:
        display.line(before)
    references = ReferenceProblems(plan, ledger) if isinstance(plan, StudyPlan) else None
    for line in [
        *stale_results(ledger, left),
        *(references.lines() if references else []),
    ]:
        _print_line(line, display)

    def tick(running: Sequence[Cell]) -> None:
        for one in watching:
            one.tick(running)

    outcomes = run_cells(left, executor, done=finished, tick=tick)
    problems: list[Outcome] = []
    try:
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                if outcome.status == "done":
                    ledger.write(outcome.cell, outcome.detail)
                elif outcome.status == "lost":
                    _print_line(_lost(outcome), display)
                else:
                    problems.append(outcome)
                for one in watching:
                    one.ended(outcome)
                for line in references.lines() if references else []:
                    _print_line(line, display)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{plan.config.name}: saved; started again, it goes on") from None
    finally:
        status.close()
        if display is not None:
            display.close()
    _raise(problems)


class ReferenceProblems:
    """Reports problems of a domain's references as soon as all are measured."""

    def __init__(self, plan: StudyPlan, ledger: Ledger) -> None:
        self._plan, self._ledger = plan, ledger
        self._waiting = {domain.name: domain for domain in plan.domains}

    def lines(self) -> list[str]:
        """A line for each problem and hint that has become known since the last call."""
        return [
            line for domain in list(self._waiting.values()) for line in self._problems_of(domain)
        ]

    def _problems_of(self, domain: Domain) -> list[str]:
        if not all(map(self._ledger.is_done, reference_cells(self._plan, domain))):
            return []
        del self._waiting[domain.name]
        found = domain_references(self._plan, self._ledger, domain)
        hints = [f"{domain.name}: {hint}" for hint in found.hints()]
        return hints + [
            f"{domain.name} is left out of scores and of the overall: {problem}"
            for problem in found.problems()
        ]


def stale_results(ledger: Ledger, cells: Sequence[Cell]) -> list[str]:
    """One line for each reason why earlier results are not used, with the cells."""
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        changed = ledger.stale(cell)
        if changed is not None:
            reasons.setdefault(", ".join(changed), []).append(cell.id)
    return [
        f"{len(names)} earlier result{'s' if len(names) > 1 else ''} made again, as this changed: "
        f"{reason} ({listed(names, 3)})"
        for reason, names in reasons.items()
    ]


def _lost(outcome: Outcome) -> str:
    again = f"it goes on from its last checkpoint, at most {ATTEMPTS} starts in all"
    return f"{outcome.cell.id}: {outcome.detail}; {again}"


def _print_line(line: str, display: StudyProgress | None) -> None:
    """Print a line on standard error, whether progress is shown or not."""
    if display is not None:
        display.line(line)
    else:
        print(line, file=sys.stderr)


def describe(problems: Sequence[Outcome]) -> list[str]:
    """Each distinct problem once, after the cells that have it."""
    cells: dict[tuple[str, str], list[str]] = {}
    for one in problems:
        status = "" if one.status == "refused" else f" {one.status}"
        cells.setdefault((status, one.detail), []).append(one.cell.id)
    return [f"{listed(ids, 3)}{status}: {detail}" for (status, detail), ids in cells.items()]


def _raise(problems: Sequence[Outcome]) -> None:
    if not problems:
        return
    if all(problem.status == "refused" for problem in problems):
        raise UserError("; ".join(describe(problems)))
    raise CellsFailed("\n".join(describe(problems)))


def _report(plan: AnyPlan, ledger: Ledger) -> dict[str, Any]:
    """All that the report shows: the settings and the numbers."""
    if isinstance(plan, ComparisonPlan):
        return _describe(plan) | _compare(plan, ledger)
    config, measured = plan.config, results(plan, ledger)
    _keep_references(plan, measured)
    own = {label: config.budget_of(label) for label in config.methods}
    budgets = {
        "budget": config.budget,
        "own_budgets": {label: one for label, one in own.items() if one != config.budget},
    }
    report = _describe(plan) | budgets | summarize(measured)
    report["made"] |= {
        "oracle_steps": config.oracle.steps,
        "oracle_seeds": list(config.oracle_seeds),
        "source_steps": config.source.steps,
        "given": list(config.source.run),
        "algorithm": plan.algorithm,
    }
    return report


def _keep_references(plan: StudyPlan, measured: Results) -> None:
    """Leave sound references in the user's cache, where a transfer finds them."""
    found = {plan.source.name: measured.source}
    found |= {name: target.references for name, target in measured.targets.items()}
    origin = f"study {plan.config.name}, {plan.config.oracle.steps:,} steps"
    for domain in plan.domains:
        own = found[domain.name]
        if not own.problems():
            random, oracle = own.scale.random.value, own.scale.oracle.value
            keep_references(plan.task, domain, References(random, oracle, origin))


def _compare(plan: ComparisonPlan, ledger: Ledger) -> dict[str, Any]:
    """The returns of the policies of a comparison in each domain."""
    labels, seeds = list(plan.config.pretrainings), plan.config.seeds
    found = {
        domain.name: {
            label: reached([ledger.read(plan.evaluated(label, domain, seed)) for seed in seeds])
            for label in labels
        }
        for domain in plan.domains
    }
    returns = summarize_comparison(found)
    ways = [way for ways in returns.values() for way in ways.values()]
    held_out = [target.name for target in plan.targets if target is not plan.source]
    trade_off = summarize_trade_off(found, plan.source.name, held_out)
    return {
        "first": labels[0],
        "widths": {label: way.width for label, way in plan.config.pretrainings.items()},
        "trade_off": trade_off,
        "fail": any(way["failure"]["value"] for way in ways),
        "succeed": all(way["success"] is not None for way in ways),
        "returns": returns,
        "quality": {domain.name: _acting(plan, ledger, domain) for domain in plan.domains},
        "notes": [*comparison_notes(returns, len(seeds)), *([WORST] if trade_off else [])],
    }


def _acting(plan: ComparisonPlan, ledger: Ledger, domain: Domain) -> dict[str, dict[str, float]]:
    """How the policies of each way act in a domain, the mean of the seeds, where it is known."""
    config = plan.config
    known = {
        label: quality(ledger, [plan.evaluated(label, domain, seed) for seed in config.seeds])
        for label in config.pretrainings
    }
    return {label: means(seeds) for label, seeds in known.items() if seeds}


def _describe(plan: AnyPlan) -> dict[str, Any]:
    """The settings that the report shows."""
    config = plan.config
    made: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "config": _dump(config),
        "versions": versions(),
    }
    if isinstance(config, ComparisonConfig):
        made |= {"steps": config.steps, "algorithm": config.algorithm}
    return {
        "format": 1,
        "name": config.name,
        "about": config.about,
        "task": plan.task.name,
        "seeds": list(config.seeds),
        "episodes": config.episodes,
        "domains": {domain.name: words(domain) for domain in plan.domains},
        "source_name": plan.source.name,
        "made": made,
    }


def _dump(config: StudyConfig | ComparisonConfig) -> str:
    return dump_yaml(config.model_dump(mode="json"))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the study's folder; UserError if another process does, and if it can be none."""
    require_writable(folder)
    if (folder / "config.yaml").exists():
        raise UserError(f"{folder} is the folder of a run; allowed: another one for the study")
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / ".lock", "running this study"):
        yield
