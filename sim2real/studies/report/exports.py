"""The figures of a report as SVG with their data as CSV, and its tables in LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim2real.files import write_text
from sim2real.studies.report.formats import FORMATS, Found, label

FIGURES = "figures"
"""Folder of the figures within that of a report."""

_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"}
_SPECIAL |= {"−": "$-$", "–": "--", "±": r"$\pm$", "×": r"$\times$"}


def write_figure(
    folder: Path, name: str, drawing: str, rows: Iterable[Mapping[str, object]]
) -> None:
    """Write figures/NAME.svg, and figures/NAME.csv with the numbers that it shows."""
    place = folder / FIGURES / re.sub(r"[^\w.-]+", "-", name)
    write_text(place.with_name(f"{place.name}.svg"), drawing)
    write_text(place.with_name(f"{place.name}.csv"), csv_of(rows))


def csv_of(rows: Iterable[Mapping[str, object]]) -> str:
    """Rows that share their keys as comma-separated values; None is an empty cell.

    >>> print(csv_of([{"steps": 0, "mean": 1.5}, {"steps": 10, "mean": None}]), end="")
    steps,mean
    0,1.5
    10,
    """
    several = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, several[0] if several else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(several)
    return text.getvalue()


def curve_rows(target: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of the learning curves in a target: a row a method and evaluation."""
    return [
        {
            "method": name,
            "steps": steps,
            **{key: point[key] for key in ("value", "low", "high")},
            **{f"seed {index}": value for index, value in enumerate(point["values"])},
        }
        for name, method in target["methods"].items()
        for steps, point in zip(method["curve"]["steps"], method["curve"]["points"], strict=True)
    ]


def training_rows(curves: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The points of trainings: a row a training, seed and evaluation."""
    return [
        {"training": name, "seed": seed, "steps": steps, "return": value}
        for name, curve in curves.items()
        for seed, values in enumerate(curve["seeds"])
        for steps, value in zip(curve["steps"], values, strict=True)
    ]


def latex_of(report: Mapping[str, Any]) -> str:
    """The results of a study: a LaTeX table for each target, for the package booktabs."""
    return "\n".join(_of_target(report, name) for name in report["targets"])


def _of_target(report: Mapping[str, Any], name: str) -> str:
    target = report["targets"][name]
    zero_shot = target["zero_shot"]
    rows = [["zero-shot", latex(zero_shot["return"], "whole"), latex(zero_shot["score"]), "--"]]
    for key, method in target["methods"].items():
        found = latex(method["return_after"], "whole"), latex(method["score_after"])
        rows.append([escaped(label(key)), *found, latex(method["gap_closed"], "percent")])
    caption = f"{report['task']} in {name}, mean over {len(report['seeds'])} seeds (95 % interval)"
    return latex_table(["policy", "return", "score", "gap closed"], rows, caption)


def latex_table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A LaTeX table for the package booktabs; `rows` are LaTeX, the rest is escaped."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        f"{' & '.join(map(escaped, heads))} \\\\",
        r"\midrule",
        *(f"{' & '.join(row)} \\\\" for row in rows),
        *(r"\bottomrule", r"\end{tabular}", r"\end{table}"),
    ]
    return "\n".join([*lines, ""])


def latex(found: Found | None, kind: str = "number") -> str:
    """A value with its interval, `0.48 (0.42 to 0.55)`; a dash for none."""
    if found is None:
        return "--"
    shown = FORMATS[kind]
    text = escaped(shown(found["value"]))
    if found["low"] is None:
        return text
    return f"{text} ({escaped(shown(found['low']))} to {escaped(shown(found['high']))})"


def escaped(text: str) -> str:
    """A text in which LaTeX's special characters stand for themselves."""
    return "".join(_SPECIAL.get(character, character) for character in text)
