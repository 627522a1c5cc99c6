"""The verb `study`, and the tables of its report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.audit import audited
from sim2real.cli.command import Command
from sim2real.cli.output import Outcome, show, table

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Study(Command):
    """Run a study: methods (or pretrainings) x targets x seeds on equal budgets, one report."""

    file: Positional[Path]
    """The study's YAML file; with --status also its folder."""
    status: bool = False
    """Only show how far the study is: cells done, running, failed and left, and the time left."""
    executor: str = "local"
    """Where the runs are made: "local" (processes of this machine), "inline" (this one), "ray"."""
    address: str | None = None
    """Address of a running Ray cluster, or "auto"; without one Ray is started here."""
    workers: int | None = None
    """Runs at once, at most four per processor; by default one per processor."""
    out: Path | None = None
    """Folder of the study, in place of the one that the file names."""
    trust_code: bool = False
    """Accept and import the Python code that the study names."""

    def run(self) -> Outcome:
        """Call `sim2real.study`, or `studies.status.study_status`."""
        if self.status:
            return self._status()
        from sim2real.studies.audit import AuditFailed
        from sim2real.studies.config import load_study
        from sim2real.studies.study import CellsFailed, study

        asked = load_study(self.file, trust_code=self.trust_code)
        if self.out is not None:
            asked = asked.model_copy(update={"out": str(self.out)})
        try:
            report = study(
                asked,
                executor=self.executor,
                address=self.address,
                workers=self.workers,
                progress=not self.json,
            )
        except CellsFailed as error:  # with its tracebacks; all the rest is done and kept
            sys.exit(f"error: {error}")
        except AuditFailed as error:
            show([shown for report in error.reports for shown in audited(report)])
            raise
        shown = pretrainings(report) if "returns" in report else compared(report)
        return Outcome(report, shown, page=asked.folder / "report" / "index.html")

    def _status(self) -> Outcome:
        from sim2real.learning.progress import clock
        from sim2real.studies.status import study_status

        found = study_status(self.file if self.out is None else self.out)
        rows = [{"cells": kind, **counts} for kind, counts in found["kinds"].items()]
        whole = {name: sum(row[name] for row in rows) for name in rows[0] if name != "cells"}
        shown = table(f"{found['name']} in {found['folder']}", [*rows, {"cells": "all", **whole}])
        left = clock(found["seconds_left"])
        lines = [f"runs: {found['runs']}, {left} left" if found["runs"] else "does not run now"]
        lines += [f"{cell}: since {clock(since)}" for cell, since in found["running"].items()]
        lines += [f"{cell} failed: {why}" for cell, why in found["failed"].items()]
        shown.caption, shown.caption_justify = "\n".join(lines), "left"
        return Outcome(found, [shown])


def compared(report: Mapping[str, Any]) -> list[Table]:
    """A study's report as a table a target: what each method reached, and against what."""
    return [_in_target(report, name, target) for name, target in report["targets"].items()]


def _in_target(report: Mapping[str, Any], name: str, target: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    from sim2real.evaluation.numbers import number, percent, whole
    from sim2real.studies.report.formats import dots, label, scale

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
    lines = _verdicts(target)
    lines += [f"No score: {problem}." for problem in target["problems"]]
    lines += [f"Note: {hint}." for hint in target["hints"]]
    unknown = [one["why"] for *_, one in reached if one is not None and one["value"] is None]
    lines += [f"Gap closed: –, {why}." for why in dict.fromkeys(unknown)]
    shown.caption, shown.caption_justify = "\n".join(lines) or None, "left"
    return shown


def _verdicts(target: Mapping[str, Any]) -> list[str]:
    """The verdicts on the returns, and the number of comparisons for which they are corrected."""
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


def pretrainings(report: Mapping[str, Any]) -> list[Table]:
    """A comparison's report: what each pretraining reached in each domain, and in the worst."""
    return [_returns(report), *([_trade_off(report)] if report["trade_off"] else [])]


def _trade_off(report: Mapping[str, Any]) -> Table:
    """The return of each pretraining in its source and in the worst of the targets."""
    from sim2real.studies.report.formats import text

    rows = [
        {
            "pretraining": label,
            "width": f"{report['widths'][label]:g}",
            "at home": text(way["home"], "whole"),
            "worst case": text(way["worst"], "whole"),
            "in": way["target"],
        }
        for label, way in report["trade_off"].items()
    ]
    return table(f"{report['name']}: at home and in the worst case (95 % interval) [seeds]", rows)


def _returns(report: Mapping[str, Any]) -> Table:
    """The return of each pretraining in each domain."""
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
    """The kind of the numbers of a table, for its title."""
    words = "(95 % interval) [seeds]"
    count = max((one["comparisons"] for one in differences), default=0)
    return f"{words}, verdicts corrected for {count} comparisons" if count > 1 else words
