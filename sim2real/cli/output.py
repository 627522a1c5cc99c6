"""What the commands take and give in words: NAME=VALUE pairs, summaries, tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim2real.errors import UserError, brief
from sim2real.files import unwritable
from sim2real.plain import parse_yaml

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.evaluation.audit import AuditReport
    from sim2real.runs.run import Run


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


def can_write(folder: Path) -> bool:
    """Whether results can be kept in `folder`; if not, it says so on standard error."""
    reason = unwritable(folder)
    if reason:
        print(f"{folder} cannot be written: {reason}; the result is only shown", file=sys.stderr)
    return reason is None


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


def moved(run: Run) -> Outcome:
    """What a transfer tells of the run that it made: before and after, and what it used."""
    from sim2real.studies.report.formats import duration, percent, whole, without_seeds
    from sim2real.transfer.outcome import outcome

    made, found = trained(run), outcome(run)
    used, closed = found["used"], found["gap_closed"]
    rows = {
        "return before (zero-shot)": without_seeds(found["zero_shot"], "whole"),
        "return after": without_seeds(found["after"], "whole"),
        "difference": without_seeds(found["difference"], "whole"),
        "gap closed": percent(closed) if closed is not None else "no references of both domains",
        "control steps used": whole(used["steps"]),
        "episodes, resets, falls": f"{used['episodes']:,}, {used['resets']:,}, {used['falls']:,}",
        "robot time": duration(used["seconds"]),
    }
    title = f"{found['domain']}, {found['episodes']} episodes (95 % interval of these policies)"
    shown = table(title, [{"what": name, "value": value} for name, value in rows.items()])
    return Outcome(made.data | found, [*made.tables, shown], made.file)


def published(task: str | None = None) -> list[dict[str, Any]]:
    """The policies that are shipped, or those of one task, a line each, with what they reach."""
    from sim2real.runs.pretrained import PREFIX, pretrained_names, read_card

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

    shown = Table(title=title, title_justify="left")
    for name in rows[0]:  # folded: what a narrow terminal cuts off may be all that differs
        shown.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*[f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row.values()])
    return shown


def show(tables: Sequence[Table]) -> None:
    """Print tables to standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    for shown in tables:
        console.print(shown)


def audited(report: AuditReport) -> list[Table]:
    """An audit as a table of effects, a line an end, and one of what was found."""
    said = [
        {"verdict": finding.verdict, "parameter": finding.parameter, "what": what}
        for finding in report.findings
        for what in (*finding.errors, *finding.warnings)
    ]
    said += [{"verdict": "hint", "parameter": "(policy)", "what": hint} for hint in report.hints]
    verdict = f"{len(report.errors)} errors" if report.errors else "passed"
    last = said or [{"verdict": verdict, "what": "every parameter acts, every world is sound"}]
    tables = [_effects(report)] if any(finding.ends for finding in report.findings) else []
    differs = [
        {"field": finding.parameter.removeprefix("model."), "task's model -> other": finding.words}
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
            value = end.name if end.value is None else f"{end.value:.3g}"
            changes = [_percent(end.changes.get(name)) for name in _PROBES]
            name = "" if place else finding.parameter
            shown.add_row(name, value, *changes, f"{end.times_noise:.0e}")
    return shown


def _percent(change: float | None) -> str:
    if not change:
        return "–"
    return f"{100 * change:.{3 if change >= 1 else 2}g}" if change < 10 else ">1000"


def evaluated(title: str, domains: Sequence[Mapping[str, Any]]) -> Table:
    """What `summary` gives for a policy in each domain, intervals in brackets."""
    from sim2real.evaluation.unstable import NOTE
    from sim2real.studies.report.formats import percent, whole

    def between(found: Sequence[float | None], shown: Any) -> str:
        return "" if None in found else f" ({shown(found[0])} to {shown(found[1])})"

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:,.2f}"

    def gap(one: Mapping[str, Any]) -> str:
        found = one["gap_to_first"]
        if found is None:
            return "–"
        return number(found["value"]) + between((found["low"], found["high"]), number)

    several = len(domains) > 1 and "gap_to_first" in domains[0]
    rows = [
        {
            "domain": one["domain"],
            "mean_return": number(one["mean_return"]) + between((one["low"], one["high"]), number),
            **({f"gap_to_{domains[0]['domain']}": gap(one)} if several else {}),
            "mean_length": whole(one["mean_length"]),
            "failed": percent(one["failure_rate"]) + between(one["failure_interval"], percent),
            "unstable": str(one["unstable"]),
            **(
                {"success": percent(one["success"]) + between(one["success_interval"], percent)}
                if "success" in one
                else {}
            ),
        }
        for one in domains
    ]
    shown = table(f"{title} (95 % interval over the episodes of this policy)", rows)
    shown.caption = NOTE if any(one["unstable"] for one in domains) else None
    return shown


def compared(report: Mapping[str, Any]) -> list[Table]:
    """A study's report as a table a target: what each method reached, and against what."""
    return [_in_target(report, name, target) for name, target in report["targets"].items()]


def _in_target(report: Mapping[str, Any], name: str, target: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    from sim2real.studies.report.formats import dots, label, number, percent, scale, whole

    references = target["references"]
    oracle = references["ways"][references["way"]]["return"]
    untouched = target["zero_shot"]
    reached = [("zero-shot", untouched["return"], untouched["score"], None)] + [
        (label(key), method["return_after"], method["score_after"], method["gap_closed"])
        for key, method in target["methods"].items()
    ]
    reached += [("oracle", oracle, None, None), ("random", references["random"], None, None)]
    ends = scale(found for _, found, _, _ in reached)
    shown = Table(
        title=f"{report['name']}: {name}, after the budget (● seeds, ─ 95 % interval)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    shown.add_column("policy", no_wrap=True)
    shown.add_column("return", justify="right", no_wrap=True)
    shown.add_column("seeds", no_wrap=True)
    shown.add_column("score", justify="right", no_wrap=True)
    shown.add_column("gap closed", justify="right", no_wrap=True)
    for policy, found, score, closed in reached:
        values = (number(score and score["value"]), percent(closed and closed["value"]))
        shown.add_row(policy, whole(found["value"]), dots(found, ends), *values)
    told = _verdicts(target)
    told += [f"No score: {problem}." for problem in target["problems"]]
    told += [f"Note: {hint}." for hint in target["hints"]]
    shown.caption, shown.caption_justify = "\n".join(told) or None, "left"
    return shown


def _verdicts(target: Mapping[str, Any]) -> list[str]:
    """What is decided of the returns, and for how many comparisons it is corrected."""
    from sim2real.studies.report.formats import label

    decided: dict[str, list[str]] = {}
    for key, method in target["methods"].items():
        for other, found in method["against"].items():
            if found["verdict"] in ("better", "worse"):
                words = f"{found['verdict'].capitalize()} return than {label(other)}"
                decided.setdefault(words, []).append(label(key))
    count = target["comparisons"]["returns"]
    if not count:
        return []
    lines = [f"{words}: {', '.join(names)}." for words, names in decided.items()]
    rest = "All other comparisons are" if decided else "All comparisons are"
    return [*lines, f"{rest} undecided (corrected for {count})."]


def pretrainings(report: Mapping[str, Any]) -> Table:
    """A comparison's report as one table: what each pretraining reached in each domain."""
    from sim2real.studies.report.formats import text

    rows = [
        {
            "domain": name if label == report["first"] else "",
            "pretraining": label,
            "return": text(way, "whole"),
            f"against {report['first']}": text(way["difference"], "whole"),
        }
        for name, ways in report["returns"].items()
        for label, way in ways.items()
    ]
    differences = [
        way["difference"]
        for ways in report["returns"].values()
        for way in ways.values()
        if way["difference"] is not None
    ]
    return table(f"{report['name']}: returns {_statistics(differences)}", rows)


def _statistics(differences: Sequence[Mapping[str, Any]]) -> str:
    """What the numbers of a table are, for its title."""
    words = "(95 % interval) [seeds]"
    count = max((one["comparisons"] for one in differences), default=0)
    return f"{words}, verdicts corrected for {count} comparisons" if count > 1 else words
