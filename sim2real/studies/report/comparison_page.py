"""The report of a comparison of pretrainings: web page, Markdown, JSON. It computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from sim2real.evaluation.figures import COLOURS, GREY, INK, MARKERS, RULE
from sim2real.evaluation.page import svg
from sim2real.files import write_json, write_text
from sim2real.studies.report.curves import limits
from sim2real.studies.report.formats import label
from sim2real.studies.report.page import render
from sim2real.studies.report.quality import measured


def write_comparison(folder: Path, report: Mapping[str, Any]) -> None:
    """Write index.html, report.md, report.json and the figures into `folder`."""
    write_json(folder / "report.json", report)
    figures = {"returns": returns_svg(report["returns"])}
    if report["trade_off"]:
        figures["trade_off"] = trade_off_svg(report["trade_off"], report["widths"])
    for name, figure in figures.items():
        write_text(folder / f"{name}.svg", figure)
    content = {"report": report, "quality": measured(report.get("quality", {}).values())}
    write_text(folder / "report.md", render("comparison.md", **content))
    write_text(folder / "index.html", render("comparison.html", figures=figures, **content))


def returns_svg(returns: Mapping[str, Mapping[str, Any]]) -> str:
    """Return with its interval, a row a domain, a mark a pretraining and a dot a seed, as SVG."""
    ways = next(iter(returns.values()))
    height = 1.1 + len(returns) * (0.35 + 0.17 * len(ways))
    return svg("return by domain", lambda axes: _draw(axes, returns), (7.6, height))


def trade_off_svg(ways: Mapping[str, Mapping[str, Any]], widths: Mapping[str, float]) -> str:
    """Return in the worst case against that in the source, a mark a pretraining, as SVG.

    A line joins pretrainings of different widths, from the narrowest to the widest.
    """
    return svg(
        "worst case against home", lambda axes: _draw_trade_off(axes, ways, widths), (7.6, 4.4)
    )


def _draw_trade_off(
    axes: Axes, ways: Mapping[str, Mapping[str, Any]], widths: Mapping[str, float]
) -> None:
    ordered = sorted(ways, key=widths.__getitem__)
    if len({*widths.values()}) > 1:
        line = [[ways[name][end]["value"] for name in ordered] for end in ("home", "worst")]
        axes.plot(*line, color=GREY, linewidth=1.0, zorder=1)
    for index, (name, way) in enumerate(ways.items()):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        home, worst = way["home"], way["worst"]
        place = home["value"], worst["value"]
        if home["low"] is not None:
            axes.plot([home["low"], home["high"]], [place[1]] * 2, color=colour, linewidth=1.2)
            axes.plot([place[0]] * 2, [worst["low"], worst["high"]], color=colour, linewidth=1.2)
        axes.plot(
            *place, marker=marker, color=colour, markersize=6, linestyle="", label=label(name)
        )
        axes.plot(home["values"], worst["values"], ".", color=colour, alpha=0.7, markersize=6)
    for end, limit in (("home", axes.set_xlim), ("worst", axes.set_ylim)):
        limit(*limits([level for way in ways.values() for level in _levels(way[end])]))
    axes.set_xlabel("return at home, in the source", color=INK)
    axes.set_ylabel("return in the worst target", color=INK)
    axes.grid()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)


def _levels(found: Mapping[str, Any]) -> list[float]:
    return [found["value"], *found["values"]]


def _draw(axes: Axes, returns: Mapping[str, Mapping[str, Any]]) -> None:
    labels = list(next(iter(returns.values())))
    step = 0.7 / len(labels)
    for index, name in enumerate(labels):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        for row, ways in enumerate(returns.values()):
            place = row + (index - (len(labels) - 1) / 2) * step
            _draw_interval(axes, ways[name], place, colour, marker)
        axes.plot([], [], marker=marker, color=colour, markersize=5, label=label(name))
    for row in range(1, len(returns)):
        axes.axhline(row - 0.5, color=RULE, linewidth=0.8)
    axes.set_yticks(range(len(returns)), list(returns), color=INK)
    axes.set_ylim(len(returns) - 0.5, -0.5)
    axes.set_xlabel("return", color=INK)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)


def _draw_interval(
    axes: Axes, found: Mapping[str, Any], place: float, colour: str, marker: str
) -> None:
    """A mark at the mean, a line along the interval, small dots for the seeds."""
    if found["low"] is not None:
        axes.plot([found["low"], found["high"]], [place] * 2, color=colour, linewidth=1.6)
    axes.plot(found["value"], place, marker=marker, color=colour, markersize=5)
    if len(found["values"]) > 1:
        axes.plot(
            found["values"],
            [place] * len(found["values"]),
            ".",
            color="white",
            markeredgecolor=colour,
            markeredgewidth=0.9,
            markersize=7,
            zorder=3,
        )
