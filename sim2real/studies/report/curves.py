"""The figures of a study: learning curves in a target, and those of the trainings behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sim2real.evaluation.figures import COLOURS, GREY, INK, MARKERS
from sim2real.evaluation.numbers import whole
from sim2real.evaluation.page import svg
from sim2real.studies.report.formats import SCRATCH, WAYS, label

SIZE = (6.2, 3.7)
WIDEST, NARROWEST = 4.2, 1.6
"""Widths of the first and the last line drawn: where lines coincide, each stays visible."""
APART = 0.052
"""Least distance of two labels, as a share of the height of the axes."""
SIDEWAYS = 0.006
"""Distance between the dots of two methods, as a share of the width of the axes."""


def curves_svg(name: str, target: Mapping[str, Any]) -> str:
    """Return in a target against its steps: a line and a band a method, a dot a seed."""
    return svg(f"return in {name}", lambda axes: _draw_methods(axes, target), SIZE)


def trainings_svg(
    name: str, references: Mapping[str, Any], pretraining: Mapping[str, Any] | None = None
) -> str:
    """The learning curves of the oracles of a domain and of the pretrainings, seeds as lines."""
    found = trainings(references, pretraining)
    return svg(f"trainings in {name}", lambda axes: _draw_trainings(axes, found), SIZE)


def trainings(
    references: Mapping[str, Any], pretraining: Mapping[str, Any] | None = None
) -> dict[str, Mapping[str, Any]]:
    """The learning curves behind the references of a domain, by their names in a figure."""
    found = {f"oracle {WAYS[way]}": one["curve"] for way, one in references["ways"].items()}
    return found if pretraining is None else {"pretraining": pretraining, **found}


def _draw_methods(axes: Axes, target: Mapping[str, Any]) -> None:
    references, methods = target["references"], target["methods"]
    _draw_references(axes, references, scored=not target["problems"])
    widths = np.linspace(WIDEST, NARROWEST, len(methods))
    width = max(method["curve"]["steps"][-1] for method in methods.values())
    ends = {}
    for index, (name, method) in enumerate(methods.items()):
        points, steps = method["curve"]["points"], np.asarray(method["curve"]["steps"], float)
        means = _numbers(points, "value")
        colour = INK if name == SCRATCH else COLOURS[index % len(COLOURS)]
        axes.fill_between(
            steps,
            _numbers(points, "low"),
            _numbers(points, "high"),
            color=colour,
            alpha=0.10,
            linewidth=0,
        )
        axes.plot(
            steps,
            means,
            color=colour,
            linestyle="--" if name == SCRATCH else "-",
            linewidth=widths[index],
            marker="s" if name == SCRATCH else MARKERS[index % len(MARKERS)],
            markersize=4.5,
            zorder=3 + index,
        )
        beside = steps + (index - len(methods) / 2) * SIDEWAYS * width
        for step, point in zip(beside, points, strict=True):
            seeds = point["values"]
            axes.plot([step] * len(seeds), seeds, ".", color=colour, alpha=0.4, markersize=3.5)
        ends[label(name)] = (float(means[-1]), colour)
    axes.set_xlabel("control steps used in the target")
    axes.set_ylim(*limits(_levels(target)))
    _finish(axes, ends)


def _levels(target: Mapping[str, Any]) -> list[float]:
    """The returns that must be visible: of the lines, the seeds and the references."""
    references = target["references"]
    levels = [references["random"]["value"]]
    levels.append(references["ways"][references["way"]]["return"]["value"])
    for method in target["methods"].values():
        for point in method["curve"]["points"]:
            levels += [point["value"], *point["values"]]
    return levels


def limits(levels: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis that shows these levels; wide intervals of few seeds are cut."""
    room = 0.07 * (max(levels) - min(levels)) or 1.0
    return min(levels) - room, max(levels) + room


def _draw_references(axes: Axes, references: Mapping[str, Any], scored: bool) -> None:
    oracle = references["ways"][references["way"]]["return"]["value"]
    names = {
        "random (score 0)" if scored else "random": references["random"]["value"],
        "oracle (score 1)" if scored else "oracle (no reference)": oracle,
    }
    for name, level in names.items():
        axes.axhline(level, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        axes.annotate(
            name,
            (0.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(4, 3),
            textcoords="offset points",
            color=GREY,
            fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5},
            zorder=20,
        )


def _draw_trainings(axes: Axes, curves: Mapping[str, Mapping[str, Any]]) -> None:
    ends = {}
    widths = np.linspace(WIDEST, NARROWEST, len(curves))
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        for seed in curve["seeds"]:
            axes.plot(curve["steps"], seed, color=colour, linewidth=0.8, alpha=0.5)
        axes.plot(curve["steps"], curve["mean"], color=colour, linewidth=widths[index])
        ends[name] = (curve["mean"][-1], colour)
    axes.set_xlabel("control steps of the training")
    _finish(axes, ends)


def _finish(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    axes.set_ylabel("return")
    axes.margins(x=0.03)
    axes.grid(axis="y")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: whole(value))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlim(left=axes.dataLim.x0 - 0.03 * axes.dataLim.width)
    axes.set_xlim(right=axes.dataLim.x1 + 0.01 * axes.dataLim.width)
    _label_ends(axes, ends)


def _label_ends(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Name each line at its right end, in its colour; labels that would meet are moved apart."""
    low, high = axes.get_ylim()
    order = sorted(ends, key=lambda name: ends[name][0])
    wanted = [(ends[name][0] - low) / (high - low) for name in order]
    for name, height in zip(order, spread_out(wanted), strict=True):
        end, colour = ends[name]
        axes.annotate(
            name,
            (1.0, (end - low) / (high - low)),
            xycoords="axes fraction",
            xytext=(1.04, height),
            textcoords="axes fraction",
            va="center",
            color=colour,
            fontsize=10,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkB": 0},
        )


def spread_out(wanted: Sequence[float], apart: float = APART) -> list[float]:
    """Heights near the `wanted` ones, which ascend, but at least `apart` from each other.

    >>> [round(height, 3) for height in spread_out([0.5, 0.5, 0.9], 0.1)]
    [0.45, 0.55, 0.9]
    """
    groups = [[height] for height in wanted]
    index = 0
    while index < len(groups) - 1:
        if _places(groups[index + 1], apart)[0] - _places(groups[index], apart)[-1] < apart - 1e-9:
            groups[index : index + 2] = [groups[index] + groups[index + 1]]
            index = max(index - 1, 0)
        else:
            index += 1
    return [place for group in groups for place in _places(group, apart)]


def _places(group: Sequence[float], apart: float) -> list[float]:
    """Equally spaced around the mean of what is wanted."""
    middle = sum(group) / len(group)
    return [middle + (index - (len(group) - 1) / 2) * apart for index in range(len(group))]


def _numbers(points: Sequence[Mapping[str, Any]], name: str) -> Any:
    return np.array([point[name] for point in points], dtype=float)  # NaN for None
