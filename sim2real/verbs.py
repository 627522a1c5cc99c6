"""The verbs that train nothing, and what all verbs have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sim2real.output import Outcome, audited, pairs, table

Pairs = Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...")]


@dataclass(frozen=True, kw_only=True)
class Command:
    """What every verb has."""

    json: bool = False
    """Print the machine-readable result in place of the table."""

    def run(self) -> Outcome:
        """Do it."""
        raise NotImplementedError("def run(self) -> Outcome")


@dataclass(frozen=True, kw_only=True)
class Audit(Command):
    """Probe a domain at both ends of every range: each parameter must act, no world be broken."""

    task: Positional[str]
    """Task: a name (see `sim2real list`), a file my_robot.py, or "module:Class"."""
    domain: str = "randomized"
    """One of the task's domains, or my_domains.yaml:windy."""
    task_options: Pairs = ()
    """Options of the task."""
    waive: tuple[str, ...] = ()
    """Parameters whose errors do not count."""
    out: Path | None = None
    """Folder for audit.json and the picture audit.png; by default nothing is written."""

    def run(self) -> Outcome:
        """Call `sim2real.audit`."""
        from sim2real.evaluation.audit import audit
        from sim2real.registry import load_task

        task = load_task(self.task, **pairs(self.task_options))
        report = audit(task, self.domain, waive=self.waive)
        file, picture = None, None
        if self.out is not None:
            from sim2real.evaluation.audit.picture import write_picture

            file, picture = self.out / "audit.json", self.out / "audit.png"
            write_picture(picture, report)
        code = 0 if report.passed else 1
        return Outcome(report.plain(), audited(report), file, picture, code)


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Show versions, drawing, threads, disk, and how quick the physics is here."""

    def run(self) -> Outcome:
        """Call `sim2real.doctor.doctor`."""
        from sim2real.doctor import doctor

        found = doctor()
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        rows = [{"what": k.replace("_", " "), "found": v} for k, v in found.items()]
        rows[0]["found"] = versions
        return Outcome(found, [table("doctor", rows)])
