"""A study audits its domains before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.audit import AuditReport, audits
from sim2real.files import write_json
from sim2real.studies.config import Table
from sim2real.task import Task


class AuditFailed(UserError):
    """Some domains of a study have errors; `reports` has their audits."""

    def __init__(self, message: str, reports: Sequence[AuditReport]) -> None:
        super().__init__(message)
        self.reports = tuple(reports)


def audit_domains(config: Table, task: Task, domains: Sequence[Domain]) -> None:
    """Audit `domains` unless the study has `audit: false`; write audit.json into its folder.

    Raises AuditFailed for errors that the study does not waive by the parameter's name.
    """
    if config.audit is not False:
        reports = reports_of(config, task, domains)
        write_json(config.folder / "audit.json", [report.plain() for report in reports])
        require_sound(reports)


def reports_of(config: Table, task: Task, domains: Sequence[Domain]) -> tuple[AuditReport, ...]:
    """The audit of each domain with what the study waives, or none for `audit: false`."""
    if config.audit is False:
        return ()
    return tuple(audits(task, domains, waive=() if config.audit is True else config.audit))


def require_sound(reports: Sequence[AuditReport]) -> None:
    """Raise AuditFailed for errors in the reports."""
    wrong = [report for report in reports if not report.passed]
    if not wrong:
        return
    problems = "; ".join(f"{report.domain}: {error}" for report in wrong for error in report.errors)
    raise AuditFailed(
        f"the audit of the study's domains found errors: {problems} (waive a parameter with "
        "'audit: [its name]', all of it with 'audit: false')",
        wrong,
    )
