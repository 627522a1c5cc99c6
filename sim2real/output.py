"""What the commands take and give in words: NAME=VALUE pairs, summaries, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim2real.errors import UserError, brief
from sim2real.plain import parse_yaml

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.evaluation.audit import AuditReport
    from sim2real.training.run import Run


@dataclass(frozen=True)
class Outcome:
    """What a command gives: plain data, the same as tables, and the file that holds the data."""

    data: Any
    tables: list[Table]
    file: Path | None = None
    page: Path | None = None
    """A page or picture for people that was written."""
    code: int = 0
    """Exit code of the command."""


def pairs(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE arguments; the values are read as YAML.

    >>> pairs(["learning_rate=3e-4", "net_arch=[64, 64]", "target_kl=null"])
    {'learning_rate': 0.0003, 'net_arch': [64, 64], 'target_kl': None}
    """
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"expected NAME=VALUE, got {pair!r}")
        try:
            found[name.replace("-", "_")] = parse_yaml(value)
        except ValueError as error:
            raise UserError(f"{name}: {brief(value)} is not a YAML value: {error}") from None
    return found


def trained(run: Run) -> Outcome:
    """What a training verb tells of the run that it made."""
    config = run.config
    data = {
        "run": str(run.path),
        "kind": config.kind,
        "task": config.task,
        "domain": config.domain,
        "algorithm": config.algorithm,
        "steps": run.step,
        "seed": config.seed,
    }
    rows = [{"what": name, "value": value} for name, value in data.items()]
    return Outcome(data, [table("run", rows)], run.path / "report" / f"{config.kind}.json")


def published(task: str | None = None) -> list[dict[str, Any]]:
    """The policies that are shipped, or those of one task, a line each, with what they reach."""
    from sim2real.training.pretrained import PREFIX, pretrained_names, read_card

    cards = {name: read_card(PREFIX + name) for name in pretrained_names()}
    return [
        {
            "policy": PREFIX + name,
            "trained_in": card["domain"],
            "steps": card["steps"],
            "returns": ", ".join(
                f"{domain['domain']} {domain['mean_return']:,.0f}" for domain in card["domains"]
            ),
        }
        for name, card in cards.items()
        if task in (None, card["task"])
    ]


def table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A rich table of rows that share their keys."""
    from rich.table import Table

    shown = Table(*[name.replace("_", " ") for name in rows[0]], title=title, title_justify="left")
    for row in rows:
        shown.add_row(*[f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row.values()])
    return shown


def audited(report: AuditReport) -> list[Table]:
    """An audit as a table of effects, a line an end, and one of what was found."""
    said = [
        {"verdict": finding.verdict, "parameter": finding.parameter, "what": what}
        for finding in report.findings
        for what in (*finding.errors, *finding.warnings)
    ]
    verdict = f"{len(report.errors)} errors" if report.errors else "passed"
    last = said or [{"verdict": verdict, "what": "every parameter acts, every world is sound"}]
    tables = [_effects(report)] if any(finding.ends for finding in report.findings) else []
    return [*tables, table(f"{report.task} in {report.domain}: {verdict}", last)]


_PROBES = {
    "acceleration": "accel.",
    "settled pose": "pose",
    "trajectory": "motion",
    "force": "force",
    "observation": "seen",
}


def _effects(report: AuditReport) -> Table:
    from rich import box
    from rich.table import Table

    title = f"{report.task} in {report.domain}: change against nominal in %, {report.seconds:.1f} s"
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("parameter", overflow="fold")
    for name in ("at", *_PROBES.values(), "x noise"):
        shown.add_column(name, justify="right", no_wrap=True)
    for finding in report.findings:
        for place, end in enumerate(finding.ends):
            value = "drawn" if end.value is None else f"{end.value:.3g}"
            changes = [_percent(end.changes[name]) for name in _PROBES]
            name = "" if place else finding.parameter
            shown.add_row(name, value, *changes, f"{end.times_noise:.0e}")
    return shown


def _percent(change: float) -> str:
    if change == 0:
        return "–"
    return f"{100 * change:.{3 if change >= 1 else 2}g}" if change < 10 else ">1000"


def compared(report: Mapping[str, Any]) -> Table:
    """A study's report as one table: how much of the gap each method closed in each target."""
    rows = []
    for name, target in report["targets"].items():
        score = target["zero_shot_score"]
        rows.append(
            {
                "target": name,
                "method": "zero-shot",
                "return": target["zero_shot_return"],
                "score": _interval(score),
                "gap_closed": "",
                "ahead_of_scratch": "",
            }
        )
        for label, method in target["methods"].items():
            rows.append(
                {
                    "target": "",
                    "method": label,
                    "return": method["return_after"],
                    "score": _interval(method["score_after"]),
                    "gap_closed": _interval(method["gap_closed"]),
                    "ahead_of_scratch": _interval(method.get("difference")),
                }
            )
        rows.append(rows[-1] | {"method": "oracle", "return": target["oracle_return"]})
        rows[-1] |= {"score": "1.00", "gap_closed": "", "ahead_of_scratch": ""}
    return table(f"{report['name']}: scores with 95 % intervals", rows)


def pretrainings(report: Mapping[str, Any]) -> Table:
    """A comparison's report as one table: what each pretraining reached in each domain."""
    rows = [
        {
            "domain": name if label == report["first"] else "",
            "pretraining": label,
            "return": _interval(way, 0),
            f"against {report['first']}": _interval(way["difference"], 0),
        }
        for name, ways in report["returns"].items()
        for label, way in ways.items()
    ]
    return table(f"{report['name']}: returns with 95 % intervals", rows)


def _interval(found: Mapping[str, Any] | None, digits: int = 2) -> str:
    """0.42 (0.31 .. 0.55); nothing where there is no value."""
    if found is None or found["value"] is None:
        return ""
    value, low, high = (found[name] for name in ("value", "low", "high"))
    if low is None or high is None:
        return f"{value:,.{digits}f}"
    return f"{value:,.{digits}f} ({low:,.{digits}f} .. {high:,.{digits}f})"
