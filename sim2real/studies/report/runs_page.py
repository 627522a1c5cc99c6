"""The page of a comparison of runs, its figure, and the same as tables. It computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim2real.evaluation.numbers import percent
from sim2real.files import write_text
from sim2real.studies.report.comparison_page import returns_svg
from sim2real.studies.report.exports import write_figure
from sim2real.studies.report.formats import without_seeds
from sim2real.studies.report.page import render


def write_runs(folder: Path, data: Mapping[str, Any]) -> Path:
    """Write index.html and the figure into `folder`; return the page."""
    returns = {
        domain: {run: one["return"] for run, one in found.items()}
        for domain, found in data["returns"].items()
    }
    figure, page = returns_svg(returns), folder / "index.html"
    rows = [
        {"domain": domain, "run": run, **{key: one[key] for key in ("value", "low", "high")}}
        for domain, found in returns.items()
        for run, one in found.items()
    ]
    write_figure(folder, "returns", figure, rows)
    write_text(page, render("runs.html", report=data, figure=figure))
    return page


def tables_of(data: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """The tables of a terminal by their titles: the returns, and what differs."""
    first = data["runs"][0]
    found = [
        {
            "domain": domain if run == first else "",
            "run": run,
            "return": without_seeds(one["return"], "whole"),
            f"against {first}": without_seeds(one["difference"], "whole"),
            "failed": percent(one["failure_rate"]),
        }
        for domain, runs in data["returns"].items()
        for run, one in runs.items()
    ]
    differs = [
        {"setting": name, **{run: str(value) for run, value in values.items()}}
        for name, values in data["differs"].items()
    ]
    title = f"{data['task']}: return (95 % interval of these policies)"
    return {title: found, "what differs in how they were made": differs}
