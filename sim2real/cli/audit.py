"""The verb `audit`, and the tables of its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import Command, Pairs, accept_domains, named_task
from sim2real.cli.output import Outcome, can_write, table
from sim2real.errors import UserError
from sim2real.files import unused

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.evaluation.audit import AuditReport


@dataclass(frozen=True, kw_only=True)
class Audit(Command):
    """Test a domain at both boundaries of every range: each parameter must have an effect, and no
    world may be unstable."""

    task: Positional[str]
    """Task: a name (see `sim2real list`), a file my_robot.py, or "module:Class"; or a Gymnasium id,
    such as Hopper-v5, with a domain from a file."""
    domain: str | None = None
    """One of the task's domains, or my_domains.yaml:windy; by default randomized, or nominal for a
    task without it."""
    task_options: Pairs = ()
    """Options of the task."""
    trust_code: bool = False
    """Accept and import the Python code that the file of the domain names."""
    waive: tuple[str, ...] = ()
    """Parameters whose errors are ignored."""
    out: Path | None = None
    """Folder for audit.json and the figure audit.png; by default nothing is written."""

    def run(self) -> Outcome:
        """Call `sim2real.audit`."""
        from sim2real.domains import default_domain
        from sim2real.evaluation.audit import audit
        from sim2real.simulation.front_ends.foreign import find_foreign

        if find_foreign(self.task) is None:
            task: Any = named_task(self.task, self.task_options)
            accept_domains(task, [self.domain], self.trust_code)
            domain = self.domain or default_domain(task)
        elif self.domain is None:
            raise UserError(
                f"{self.task} is a foreign environment, which has no domains of its own: name one, "
                "such as --domain my_domains.yaml:windy"
            )
        else:
            task, domain = self.task, self.domain
        report = audit(task, domain, waive=self.waive, progress=True)
        file, figure = None, None
        if self.out is not None and can_write(self.out):
            from sim2real.evaluation.audit.figure import write_figure

            file, figure = unused(self.out, "audit.json", "audit.png")
            write_figure(figure, report)
        code = 0 if report.passed else 1
        return Outcome(report.plain(), audited(report), file, figure, code)


def audited(report: AuditReport) -> list[Table]:
    """An audit as a table of effects, one line per boundary, and a table of findings."""
    said = [
        {"verdict": finding.verdict, "parameter": finding.parameter, "what": what}
        for finding in report.findings
        for what in (*finding.errors, *finding.warnings)
    ]
    said += [{"verdict": "hint", "parameter": "(policy)", "what": hint} for hint in report.hints]
    verdict = f"{len(report.errors)} errors" if report.errors else "passed"
    last = said or [
        {"verdict": verdict, "what": "every parameter has an effect, every world is stable"}
    ]
    tables = [_effects(report)] if any(finding.ends for finding in report.findings) else []
    differs = [
        {
            "field": finding.parameter.removeprefix("model."),
            "task's model -> other": finding.description,
        }
        for finding in report.findings
        if finding.parameter.startswith("model.")
    ]
    if differs:
        tables.append(table(f"What differs in the model of {report.domain}", differs))
    return [*tables, table(f"{report.task} in {report.domain}: {verdict}", last)]


_PROBES = {
    "acceleration": "accel.",
    "settled pose": "pose",
    "trajectory": "motion",
    "force": "force",
    "observation": "observation",
}


def _effects(report: AuditReport) -> Table:
    from rich import box
    from rich.table import Table

    title = f"{report.task} in {report.domain}: change against nominal in %, {report.seconds:.1f} s"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("parameter", overflow="fold")
    for name in ("at", *_PROBES.values(), "times\nnoise"):
        shown.add_column(name, justify="right", no_wrap=True)
    for finding in report.findings:
        for place, end in enumerate(finding.ends):
            value = end.name if end.value is None else f"{end.value:.3g}"
            changes = [_percent(end.changes.get(name)) for name in _PROBES]
            name = "" if place else finding.parameter
            shown.add_row(name, value, *changes, f"{end.times_noise:.0e}")
    return shown


def _percent(change: float | None) -> str:
    if not change:
        return "–"
    return f"{100 * change:.{3 if change >= 1 else 2}g}" if change < 10 else ">1000"
