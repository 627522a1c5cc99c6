"""The report of a study: a web page of one file, Markdown and JSON. It computes nothing.

Everything shown is in the data that `write_report` is given (see `studies.summary`); here numbers
are rounded, put into tables and drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sim2real.evaluation.formats import SCRATCH, interval_notes, label
from sim2real.evaluation.page import COLOURS, GREY, INK, MARKERS, RULE, render, svg
from sim2real.files import write_json, write_text

MEANINGS = {
    "Score": "The return, so scaled that uniformly random actions have 0 and the oracle, a policy "
    "trained in that very domain without a budget, has 1.",
    "Zero-shot": "The pretrained policy as it is, before the first step in the target.",
    "Zero-shot gap": "How much score is lost on the way from the source to the target.",
    "Before / after": "The score before the first target step, and after the whole budget.",
    "Gap closed": "The share of the zero-shot gap that was won back: 100 % is as good as in the "
    "source, below 0 % is worse than doing nothing.",
    "Jump-start": "How much better it starts than an untrained policy does.",
    "Mean on the way": "The area under the curve divided by the budget: the mean score while "
    "learning.",
    "Steps to match scratch": "Target steps after which it is as good as learning from scratch is "
    "after the whole budget.",
    "Against scratch": "The score after the budget minus that of learning from scratch with the "
    "same budget, paired by seed.",
}


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write index.html, report.md and report.json into `folder`."""
    write_json(folder / "report.json", report)
    figures = {name: curves_svg(name, target) for name, target in report["targets"].items()}
    told = {"report": report, "meanings": MEANINGS, "notes": _notes(report)}
    write_text(folder / "report.md", render("report.md", **told))
    write_text(folder / "index.html", render("report.html", figures=figures, **told))


def curves_svg(name: str, target: Mapping[str, Any]) -> str:
    """Score against target steps, a line a method with its 95 % band, as an SVG element."""
    return svg(f"score in {name}", lambda axes: _draw(axes, target))


def _draw(axes: Axes, target: Mapping[str, Any]) -> None:
    for level, reference in ((0.0, "random"), (1.0, "oracle")):
        axes.axhline(level, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        axes.annotate(
            reference,
            (1.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=GREY,
            fontsize=9.5,
        )
    for index, (name, method) in enumerate(target["methods"].items()):
        curve, scratch = method["curve"], name == SCRATCH
        colour = INK if scratch else COLOURS[index % len(COLOURS)]
        low, high = (np.array(curve[end], dtype=float) for end in ("low", "high"))  # NaN for None
        axes.fill_between(curve["steps"], low, high, color=colour, alpha=0.13, linewidth=0)
        axes.plot(
            curve["steps"],
            curve["score"],
            color=colour,
            linestyle="--" if scratch else "-",
            linewidth=1.8,
            marker="s" if scratch else MARKERS[index % len(MARKERS)],
            markersize=4.5,
            label=label(name),
            zorder=3,
        )
        for step, values in zip(curve["steps"], curve["values"], strict=True):
            axes.plot([step] * len(values), values, ".", color=colour, alpha=0.6, markersize=5)
    axes.set_xlabel("control steps used in the target")
    axes.set_ylabel("score")
    axes.margins(x=0.02)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)


def _notes(report: Mapping[str, Any]) -> list[str]:
    """What a reader must know to trust the intervals."""
    compared = [
        method["difference"]["p"]
        for target in report["targets"].values()
        for method in target["methods"].values()
        if "difference" in method
    ]
    return interval_notes(len(report["seeds"]), len(compared))
