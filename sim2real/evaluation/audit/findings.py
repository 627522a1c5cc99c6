"""The findings of an audit: plain, frozen, and written as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sim2real.errors import unknown

Verdict = Literal["acts", "warning", "waived", "error"]
PROBES = ("acceleration", "settled pose", "trajectory", "force", "observation", "reward")
"""The quantities that are compared with the nominal world, in this order."""


@dataclass(frozen=True)
class End:
    """The effect of a parameter at one end of its range (`low`, `high`; `value` of a constant;
    `drawn` if it is drawn at every step).

    `changes` are relative to what each probe measures in the nominal world: 0.1 is ten per cent.
    `times_noise` is the clearest of them in multiples of numerical noise.
    """

    name: str
    value: float | None
    changes: Mapping[str, float]
    times_noise: float


@dataclass(frozen=True)
class Curve:
    """The quantity that shows the parameter best, over time; a line for each end and `nominal`."""

    quantity: str
    command: str
    seconds: Sequence[float]
    lines: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Finding:
    """One parameter, by its name in the context, with its errors and warnings."""

    parameter: str
    description: str
    ends: tuple[End, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    waived: bool = False
    curve: Curve | None = field(default=None, repr=False)

    @property
    def verdict(self) -> Verdict:
        """The most severe of its results."""
        if self.errors:
            return "waived" if self.waived else "error"
        return "warning" if self.warnings else "acts"

    def change(self, probe: str) -> tuple[float, ...]:
        """The relative change of a probe at each end."""
        return tuple(end.changes.get(probe, 0.0) for end in self.ends)


@dataclass(frozen=True)
class AuditReport:
    """Everything found in one domain of one task."""

    task: str
    domain: str
    findings: tuple[Finding, ...]
    seconds: float
    hints: tuple[str, ...] = ()
    """Advice: sound parts of the domain that are hard for the task's policy."""

    def __repr__(self) -> str:
        found = f"{len(self.findings)} findings, {len(self.errors)} errors"
        return f"AuditReport({self.task!r} in {self.domain!r}: {found})"

    @property
    def errors(self) -> tuple[str, ...]:
        """One sentence for each error that is not waived, with the parameter's name."""
        return tuple(
            f"{finding.parameter}: {error}"
            for finding in self.findings
            if finding.verdict == "error"
            for error in finding.errors
        )

    @property
    def passed(self) -> bool:
        """Whether there are no errors but waived ones."""
        return not self.errors

    def waive(self, names: Sequence[str]) -> AuditReport:
        """The report with the errors of the parameters `names` waived."""
        findings = tuple(
            dataclasses.replace(finding, waived=True) if _named(finding, names) else finding
            for finding in self.findings
        )
        return dataclasses.replace(self, findings=findings)

    def plain(self) -> dict[str, Any]:
        """Plain data for JSON, without the curves; what is not finite is null."""
        return {
            "task": self.task,
            "domain": self.domain,
            "passed": self.passed,
            "seconds": round(self.seconds, 2),
            "hints": list(self.hints),
            "findings": [_plain(finding) for finding in self.findings],
        }


def check_waived(reports: Sequence[AuditReport], names: Sequence[str]) -> None:
    """Raise UserError for a waived parameter that none of the audited domains has."""
    findings = [finding for report in reports for finding in report.findings]
    for name in names:
        if not any(_named(finding, (name,)) for finding in findings):
            raise unknown("waived parameter", name, dict.fromkeys(f.parameter for f in findings))


def _named(finding: Finding, names: Sequence[str]) -> bool:
    """Whether the parameter is among `names`, or all elements of its label are."""
    return finding.parameter in names or finding.parameter.partition(":")[0] in names


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "parameter": finding.parameter,
        "words": finding.description,
        "verdict": finding.verdict,
        "errors": list(finding.errors),
        "warnings": list(finding.warnings),
        "ends": [
            {
                "name": end.name,
                "value": end.value,
                "changes": {name: _finite(end.changes[name]) for name in end.changes},
                "times_noise": _finite(end.times_noise),
            }
            for end in finding.ends
        ],
    }


def _finite(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
