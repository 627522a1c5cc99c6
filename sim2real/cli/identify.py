"""The verb `identify`, and the tables of its result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import Command, Pairs, accept_domains, named_task
from sim2real.cli.output import Outcome, can_write, table
from sim2real.errors import UserError
from sim2real.files import unused, write_text

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.identification.log import Log
    from sim2real.task import Task


PHASES = "identification-phases"
"""The subfolder of the results that keeps the finished phases of an interrupted identification."""
SURE = 0.05
"""Part that must be done before the time left is estimated."""


@dataclass(frozen=True, kw_only=True)
class Identify(Command):
    """Find the world of a family that moves as recorded logs do."""

    logs: Positional[tuple[Path, ...]]
    """Logs of one target, or of several with --as-domain: files of `Log.save`, or of another
    format."""
    as_domain: bool = False
    """Identify each log by itself, and combine them to a domain with ranges to pretrain in."""
    units: tuple[str, ...] = ()
    """With --as-domain: the name of the unit of each log; by default each is one of its own."""
    mapping: Path | None = None
    """YAML file that says which column of the logs is what."""
    task: str
    """Task: a name (see `sim2real list`), a file my_robot.py, or "module:Class"."""
    family: str | None = None
    """A domain with ranges, one of the task's or my_domains.yaml:windy; by default the domain
    randomized with wider ranges."""
    task_options: Pairs = ()
    """Options of the task."""
    trust_code: bool = False
    """Accept and import the Python code that the file of the family names."""
    seed: int = 0
    """Seed of the search."""
    horizon: int | None = None
    """Control steps of the windows that are replayed; by default about 0.3 s."""
    residual: bool = False
    """Fit forces of the driven joints to what the family does not explain, and use them where they
    predict windows of the logs that were held out better."""
    out: Path | None = None
    """Folder for identified.yaml, with the domains `identified` and `posterior`,
    identification.json and the report identification.html; by default nothing is written. With
    --as-domain: ranges.yaml, with the domain `ranges`, and ranges.json. After an interruption the
    same command continues where it stopped."""

    def run(self) -> Outcome:
        """Call `sim2real.identify`, or `identify_ranges`."""
        from sim2real.identification.identify import identify
        from sim2real.identification.log import Log

        if self.units and len(self.units) != len(self.logs):
            raise UserError(f"--units has {len(self.units)} names; allowed: {len(self.logs)}")
        if self.units and not self.as_domain:
            raise UserError("--units is for --as-domain")
        if self.as_domain and self.residual:
            raise UserError("--residual is for a single target; allowed: without --as-domain")
        task = named_task(self.task, self.task_options)
        if self.family is not None:
            accept_domains(task, [self.family], self.trust_code)
        logs = [Log.load(path, self.mapping) for path in self.logs]
        if self.as_domain:
            return self._ranges(task, logs)
        file, page = None, None
        with _kept(self.out) as out:
            with _progress() as report:
                found = identify(
                    logs,
                    task,
                    self.family,
                    self.seed,
                    horizon=self.horizon,
                    report=report,
                    residual=self.residual,
                    phases=_phases(out),
                )
            if out is not None:
                file, page = unused(out, "identification.json", "identification.html")
                found.save(out)
                write_text(page, found.page())
        return Outcome(found.plain(), identified(found.plain()), file, page)

    def _ranges(self, task: Task, logs: Sequence[Log]) -> Outcome:
        from sim2real.identification.ranges import identify_ranges

        by_unit: dict[str, list[Log]] = {}
        for name, log in zip(self.units or map(str, self.logs), logs, strict=True):
            by_unit.setdefault(name, []).append(log)
        file, page = None, None
        with _kept(self.out) as out:
            with _progress(len(logs)) as report:
                found = identify_ranges(
                    by_unit,
                    task,
                    self.family,
                    self.seed,
                    self.horizon,
                    report=report,
                    phases=_phases(out),
                )
            if out is not None:
                (file,) = unused(out, "ranges.json")
                page = found.save(out)
        return Outcome(found.plain(), ranges(found.plain()), file, page)


@contextmanager
def _kept(out: Path | None) -> Iterator[Path | None]:
    """The folder `out` if it can be written; the phases kept in it are removed at the end."""
    folder = out if out is not None and can_write(out) else None
    try:
        yield folder
    except KeyboardInterrupt:
        if folder is None:
            raise
        how = f"run the same command again, with --out {folder}, to continue"
        raise KeyboardInterrupt(how) from None
    if folder is not None:
        shutil.rmtree(folder / PHASES, ignore_errors=True)


def _phases(out: Path | None) -> Path | None:
    return None if out is None else out / PHASES


@contextmanager
def _progress(logs: int = 1) -> Iterator[Callable[[str, float], None]]:
    """A display on standard error: the part that is done, what is being done, the time left."""
    from sim2real.identification.stages import whole
    from sim2real.learning.progress import Display

    display, began = Display("identify"), time.monotonic()

    def report(part: float, what: str) -> None:
        left = (time.monotonic() - began) * (1 / part - 1) if part > SURE else None
        display.show(part, what, left)

    try:
        yield whole(report, logs)
    finally:
        display.close()


def ranges(found: Mapping[str, Any]) -> list[Table]:
    """Ranges from logs, as JSON: a table of the unknowns, and notes."""
    rows = [
        {
            "unknown": row["name"],
            "mean unit": f"{row['value']:.4g}",
            "90 % of new units": f"{row['low']:.4g} to {row['high']:.4g}",
            "std between units": f"{row['between']:.3g}",
            "within a unit": f"{row['within']:.3g}",
            "error of a log": f"{row['error']:.3g}",
            "of the family's": f"{row['part']:.0%}",
        }
        for row in found["table"]
    ]
    units = len(set(found["units"]))
    return [
        table(f"{len(found['units'])} logs of {units} units", rows),
        table("Notes", [{"note": note} for note in found["notes"]]),
    ]


def identified(found: Mapping[str, Any]) -> list[Table]:
    """An identification, as JSON: a table of the unknowns, one of prediction errors, and notes."""
    unknowns = [
        {
            "unknown": row["name"],
            "nominal": f"{row['nominal']:.4g}",
            "identified": f"{row['value']:.4g}",
            "90 %": f"{row['low']:.4g} to {row['high']:.4g}",
            "status": row["status"],
        }
        for row in found["table"]
    ]
    check = found["validation"]
    errors = [
        {
            "prediction error": what,
            "nominal": f"{check[f'{name}_nominal']:.3g}",
            "identified": f"{check[name]:.3g}",
        }
        for what, name in (
            ("after one step", "one_step"),
            (f"after {check['steps']} steps", "many_steps"),
        )
    ]
    title = f"{found['steps']:,} steps of the target; {found['simulated_steps']:,} simulated steps"
    return [
        table(title, unknowns),
        table(
            f"{check['windows']} windows held out; in units of a channel's change in a step", errors
        ),
        table("Notes", [{"note": note} for note in found["notes"]]),
    ]
