"""The report of a study: a web page of one file, Markdown and JSON. It computes nothing.

Everything shown is in the data that `write_report` is given (see `studies.summary`); here numbers
are rounded, put into tables and drawn.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim2real.files import write_json, write_text

INK, GREY, RULE = "#1a1a1a", "#5b5b5b", "#d9d9d9"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#117733", "#882255")
"""Told apart with every common kind of colour blindness; after Okabe & Ito (2008) and P. Tol."""
MARKERS = "osD^vPX"
SCRATCH = "scratch"

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
    "same budget, paired by seed and episode; “undecided” where the interval includes 0.",
    "Intervals": "95 % of resampled studies give a value in the range in small print.",
}


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write index.html, report.md and report.json into `folder`."""
    write_json(folder / "report.json", report)
    figures = {name: curves_svg(name, target) for name, target in report["targets"].items()}
    write_text(folder / "report.md", _render("report.md", report))
    write_text(folder / "index.html", _render("report.html", report, figures=figures))


def curves_svg(name: str, target: Mapping[str, Any]) -> str:
    """Score against target steps, a line a method with its 95 % band, as an SVG element."""
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 10.5,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": GREY,
        "ytick.color": GREY,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.6, 3.9), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, target)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    title = html.escape(f"score in {name}")
    return svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def _draw(axes: Axes, target: Mapping[str, Any]) -> None:
    for level, label in ((0.0, "random"), (1.0, "oracle")):
        axes.axhline(level, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        axes.annotate(
            label,
            (1.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=GREY,
            fontsize=9.5,
        )
    for index, (label, method) in enumerate(target["methods"].items()):
        curve, scratch = method["curve"], label == SCRATCH
        colour = INK if scratch else COLOURS[index % len(COLOURS)]
        axes.fill_between(
            curve["steps"], curve["low"], curve["high"], color=colour, alpha=0.13, linewidth=0
        )
        axes.plot(
            curve["steps"],
            curve["score"],
            color=colour,
            linestyle="--" if scratch else "-",
            linewidth=1.8,
            marker="s" if scratch else MARKERS[index % len(MARKERS)],
            markersize=4.5,
            label=_label(label),
            zorder=3,
        )
    axes.set_xlabel("control steps used in the target")
    axes.set_ylabel("score")
    axes.margins(x=0.02)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)


def _render(template: str, report: Mapping[str, Any], **more: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "whole": _whole,
        "percent": _percent,
        "range": _range,
        "percents": _percents,
        "label": _label,
    }
    return environment.get_template(template).render(
        report=report, meanings=MEANINGS, notes=_notes(report), scratch=SCRATCH, **more
    )


def _notes(report: Mapping[str, Any]) -> list[str]:
    """What a reader must know to trust the intervals."""
    seeds = len(report["seeds"])
    if seeds == 1:
        return [
            "There is one seed only: the intervals come from its episodes and speak for this one "
            "training, not for the method."
        ]
    notes = [
        f"Scores are interquartile means over {seeds} seeds with bootstrap intervals over the "
        "seeds; gaps and differences are means, their intervals resample the seeds and then the "
        "episodes within each."
    ]
    if seeds < 5:
        notes.append("With fewer than five seeds such intervals are narrower than they should be.")
    return notes


def _label(name: str) -> str:
    return "from scratch" if name == SCRATCH else name.replace("_", "-")


def _number(value: float | None) -> str:
    return "–" if value is None else _minus(f"{value:.2f}")


def _whole(value: float | None) -> str:
    return "–" if value is None else _minus(f"{value:,.0f}")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{_minus(f'{100 * value:.0f}')} %"


def _minus(number: str) -> str:
    """With a minus sign, which what is rounded to zero has not."""
    digits = number.removeprefix("-")
    return f"−{digits}" if number != digits and digits.strip("0.,") else digits


def _range(interval: Mapping[str, Any]) -> str:
    if interval["low"] is None:
        return "not determined"
    return f"{_number(interval['low'])} to {_number(interval['high'])}"


def _percents(interval: Mapping[str, Any]) -> str:
    if interval["low"] is None:
        return "not determined"
    return f"{_percent(interval['low'])} to {_percent(interval['high'])}"
