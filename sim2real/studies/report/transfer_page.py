"""The page of one transfer, its figure and its table. It computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sim2real.evaluation.figures import COLOURS, GREY, INK
from sim2real.evaluation.numbers import duration, percent, whole
from sim2real.evaluation.page import svg
from sim2real.files import write_text
from sim2real.studies.report.exports import escaped, latex, latex_table, write_figure
from sim2real.studies.report.formats import bounds_text, label, without_seeds
from sim2real.studies.report.page import render
from sim2real.studies.report.quality import measured


def write_transfer(folder: Path, data: Mapping[str, Any]) -> Path:
    """Write index.html, report.tex and the figures into `folder`; return the page."""
    figure = curve_svg(data)
    write_figure(folder, "return-against-steps", figure, data["curve"])
    write_text(folder / "report.tex", _latex(data))
    page = folder / "index.html"
    content = {
        "report": data,
        "answer": answer(data),
        "figure": figure,
        "rows": returns_of(data["outcome"]),
        "quality": measured([data["outcome"]["quality"]]),
    }
    write_text(page, render("transfer.html", **content))
    return page


def answer(data: Mapping[str, Any]) -> list[str]:
    """The result in sentences: in the target, the gap, and in the source."""
    found, used = data["outcome"], data["outcome"]["used"]
    before, after = (whole(found[name]["value"]) for name in ("zero_shot", "after"))
    change = found["difference"]
    spent = f"With {whole(used['steps'])} control steps of {found['domain']}"
    if used["seconds"]:
        spent += f", {duration(used['seconds'])} of one robot,"
    method = label(data["method"])
    by = f"from {before} to {after}, by {whole(change['value'])} ({bounds_text(change, 'whole')})"
    if change["low"] is None or change["low"] <= 0 <= change["high"]:
        first = f"{spent} {method} moved the return {by}: this may be chance."
    else:
        verb = "raised" if change["low"] > 0 else "lowered"
        first = f"{spent} {method} {verb} the return {by}."
    return [first, *_gap(found["gap_closed"]), *_home(found["source"])]


def _gap(closed: float | None) -> list[str]:
    if closed is None:
        return []
    return [f"It closed {percent(closed)} of the gap between source and target."]


def _home(source: Mapping[str, Any] | None) -> list[str]:
    if source is None:
        return []
    change = source["difference"]
    start = f"In the source, {source['domain']}, the return went from "
    went = f"{whole(source['before']['value'])} to {whole(source['after']['value'])}"
    chance = change["low"] is None or change["low"] <= 0 <= change["high"]
    return [f"{start}{went}{': this may be chance' if chance else ''}."]


def returns_of(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the table: the return before and after, and the difference, by domain."""
    target = {"domain": found["domain"], "before": found["zero_shot"]}
    rows = [target | {name: found[name] for name in ("after", "difference")}]
    return [*rows, *([found["source"]] if found["source"] else [])]


def curve_svg(data: Mapping[str, Any]) -> str:
    """Return in the target against its steps, with the levels of the untouched policy, as SVG."""
    title = f"return in {data['outcome']['domain']} against the control steps used there"
    return svg(title, lambda axes: _draw(axes, data["curve"], _levels(data["outcome"])))


def _levels(found: Mapping[str, Any]) -> dict[str, float]:
    """Levels to compare a curve with, by their names."""
    levels = {"untouched": found["zero_shot"]["value"]}
    source = found["source"]
    return levels | ({"untouched, in the source": source["before"]["value"]} if source else {})


def _draw(axes: Axes, points: Sequence[Mapping[str, Any]], levels: Mapping[str, float]) -> None:
    steps, means, lows, highs = (
        np.array([point[name] for point in points], dtype=float)
        for name in ("steps", "value", "low", "high")
    )
    for name, level in levels.items():
        axes.axhline(level, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(name, (0, level), xytext=(4, 3), color=GREY, fontsize=9, **place)  # type: ignore[arg-type]
    axes.fill_between(steps, lows, highs, color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.plot(steps, means, color=COLOURS[0], marker="o", markersize=4.5, linewidth=2)
    axes.set_xlabel("control steps used in the target", color=INK)
    axes.set_ylabel("return", color=INK)
    axes.grid(axis="y")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: whole(value))


def _latex(data: Mapping[str, Any]) -> str:
    rows = [
        [escaped(row["domain"]), *(latex(row[name], "whole") for name in _COLUMNS)]
        for row in returns_of(data["outcome"])
    ]
    method, steps = label(data["method"]), whole(data["outcome"]["used"]["steps"])
    caption = f"{data['task']}: {method}, {steps} control steps (95 % interval of these policies)"
    return latex_table(["return in", *_COLUMNS], rows, caption)


_COLUMNS = ("before", "after", "difference")


def text_of(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """The table of returns as text, for a terminal."""
    return [
        {"return in": row["domain"], **{k: without_seeds(row[k], "whole") for k in _COLUMNS}}
        for row in returns_of(data["outcome"])
    ]
