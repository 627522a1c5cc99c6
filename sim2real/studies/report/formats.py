"""Intervals as text, and an interval with its seeds as a small drawing.

Intervals are plain data here, as `Interval.plain` gives them and a report holds them.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from markupsafe import Markup

from sim2real.evaluation.numbers import number, percent, whole
from sim2real.evaluation.statistics import FEWEST

Found = Mapping[str, Any]
SCRATCH, PLAIN = "scratch", "plain"
"""The labels of the two baselines."""
WAYS = {"source": "from the source", "scratch": "from scratch"}
"""How an oracle is trained."""
_NAMES = {SCRATCH: "from scratch", PLAIN: "plain fine-tuning", "zero_shot": "zero-shot"}
WIDTH, HEIGHT, MARGIN = 88, 12, 4
"""Size of the drawing of an interval, in pixels."""


FORMATS: dict[str, Callable[[float | None], str]] = {
    "number": number,
    "whole": whole,
    "percent": percent,
}


def label(name: str) -> str:
    """A method's name as it is shown."""
    return _NAMES.get(name, name.replace("_", "-"))


def in_row(text: str) -> str:
    """A text as a cell of a table in Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def budget_of(report: Mapping[str, Any], name: str) -> int:
    """The target steps that a method of a report may use."""
    return int(report.get("own_budgets", {}).get(name, report["budget"]))


def budget_text(report: Mapping[str, Any]) -> str:
    """`16,000 steps`; `its budget` where methods have budgets of their own."""
    return "its budget" if report.get("own_budgets") else f"{whole(report['budget'])} steps"


def budgets_text(report: Mapping[str, Any]) -> str:
    """`100,000 control steps of each target`, and the methods with budgets of their own."""
    own = [f"{label(name)} {whole(one)}" for name, one in report.get("own_budgets", {}).items()]
    others = f" ({', '.join(own)})" if own else ""
    return f"{whole(report['budget'])} control steps of each target{others}"


def oracle_text(references: Mapping[str, Any], seeds: bool = True) -> str:
    """`from scratch, 30,000 steps: 10 (8 to 12), its curve flat at the end`, for each way."""
    shown = text if seeds else without_seeds
    ways = [
        f"{WAYS[way]}, {whole(trained['curve']['steps'][-1])} steps: "
        f"{shown(trained['return'], 'whole')}, its curve {trained['curve']['shape']} at the end"
        for way, trained in references["ways"].items()
    ]
    chosen = f"; the better one is {WAYS[references['way']]}" if len(ways) > 1 else ""
    return "; ".join(ways) + chosen


def bounds_text(found: Found, kind: str = "number") -> str:
    """`0.42 to 0.55`; why, where there are no bounds."""
    if found["low"] is None:
        return str(found["why"])
    return f"{FORMATS[kind](found['low'])} to {FORMATS[kind](found['high'])}"


def text(found: Found | None, kind: str = "number") -> str:
    """`0.48 (0.42 to 0.55) [0.45, 0.48, 0.51]`: value, interval, and the seeds where several are.

    A comparison ends with its verdict, if the seeds suffice for one. A dash for none.
    """
    if found is None:
        return "–"
    shown = FORMATS[kind]
    words = [shown(found["value"]), f"({bounds_text(found, kind)})"]
    words += [f"[{seeds_text(found, kind)}]"] if len(found["values"]) > 1 else []
    return " ".join([*words, verdict_text(found)]).strip()


def without_seeds(found: Found | None, kind: str = "number") -> str:
    """`0.48 (0.42 to 0.55)`; a dash for none."""
    return "–" if found is None else f"{FORMATS[kind](found['value'])} ({bounds_text(found, kind)})"


def verdict_text(found: Found) -> str:
    """The verdict of a comparison; empty for too few seeds, and for a plain interval."""
    verdict = str(found.get("verdict", ""))
    return "" if verdict == "too few seeds" else verdict


def seeds_text(found: Found, kind: str = "number") -> str:
    """The values of the seeds, in their order."""
    return ", ".join(FORMATS[kind](value) for value in found["values"])


def cell(
    found: Found | None, kind: str = "number", ends: tuple[float, float] | None = None
) -> Markup:
    """The content of a table's cell in HTML, as of `text`: the seeds are drawn between `ends`."""
    if found is None:
        return Markup("–")
    lines = [html.escape(FORMATS[kind](found["value"])), strip(found, kind, ends)]
    small = [bounds_text(found, kind), verdict_text(found)]
    words = "<br>".join(html.escape(line) for line in small if line)
    return Markup(f"{''.join(lines)}<small>{words}</small>")


def scale(many: Iterable[Found | None]) -> tuple[float, float] | None:
    """The ends of a common scale for several intervals; None if there is nothing to draw."""
    numbers = [
        value
        for found in many
        if found is not None
        for value in (found["low"], found["high"], *found["values"])
        if value is not None
    ]
    return (min(numbers), max(numbers)) if numbers else None


def scores(target: Mapping[str, Any]) -> list[Found]:
    """The scores in a target, zero-shot and after the budget; none where it has no references."""
    found = [target["zero_shot"]["score"]]
    found += [method["score_after"] for method in target["methods"].values()]
    return [score for score in found if score is not None]


def differences(methods: Iterable[Mapping[str, Any]]) -> list[Found]:
    """All comparisons of the methods of a target."""
    return [one for method in methods for one in method["against"].values()]


def column(rows: Iterable[Mapping[str, Any]], *names: str) -> list[Found]:
    """The intervals of these names of those rows that have them."""
    found = [row.get(name) for row in rows for name in names]
    return [one for one in found if isinstance(one, Mapping)]


def strip(found: Found, kind: str = "number", ends: tuple[float, float] | None = None) -> str:
    """An interval as a line and its seeds as dots, an SVG element; empty without a value.

    A difference has a mark at 0. What one policy reached is a line alone, as no seeds are known.
    """
    low, high = ends or scale([found]) or (0.0, 0.0)
    if found["value"] is None or not high > low:
        return ""

    def place(value: float) -> str:
        return f"{MARGIN + (value - low) / (high - low) * (WIDTH - 2 * MARGIN):.1f}"

    parts = []
    if "p" in found and low <= 0 <= high:
        parts.append(f'<path class="zero" d="M{place(0)} 0V{HEIGHT}"/>')
    if found["low"] is not None:
        parts.append(f'<path d="M{place(found["low"])} {HEIGHT / 2}H{place(found["high"])}"/>')
    seeds = found["values"] if found["about"] == "seeds" else []
    parts += [f'<circle cx="{place(value)}" cy="{HEIGHT / 2}" r="2.6"/>' for value in seeds]
    text = html.escape(f"seeds {seeds_text(found, kind)}" if seeds else bounds_text(found, kind))
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text}">'
        f"<title>{text}</title>{''.join(parts)}</svg>"
    )


def dots(found: Found, ends: tuple[float, float] | None = None, width: int = 26) -> str:
    """An interval as a line and its seeds as dots, between `ends`; text of `width` characters."""
    low, high = ends or scale([found]) or (0.0, 0.0)
    if found["value"] is None or not high > low:
        return ""

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (width - 1))

    line = [" "] * width
    if found["low"] is not None:
        first, last = place(found["low"]), place(found["high"])
        line[first : last + 1] = "─" * (last + 1 - first)
    for value in found["values"]:
        line[place(value)] = "●"
    return "".join(line)


def interval_notes(seeds: int, comparisons: int) -> list[str]:
    """Notes for the reader of a report with so many seeds and comparisons, a sentence each."""
    if seeds == 1:
        return [
            "There is one seed only: the intervals are those of its episodes and speak of this "
            f"policy alone, not of the method. A verdict needs {FEWEST} seeds."
        ]
    if seeds < FEWEST:
        return [f"There are {seeds} seeds: an interval, and a verdict, needs {FEWEST}."]
    notes = [
        f"Each value is the mean over {seeds} seeds; the dots, or the numbers in square brackets, "
        "are the seeds in their order. The interval holds the mean over all seeds in 95 % of "
        "studies: Student's t across the seeds, widened where they are skewed. Differences are "
        "paired by seed.",
    ]
    if not comparisons:
        return notes
    return [
        *notes,
        f"“Better” and “worse” are corrected for the {comparisons} comparison"
        f"{'s' if comparisons > 1 else ''} of this report (Holm): the chance of any false one is "
        "at most 5 %. “Undecided” means that these seeds do not suffice, not that there is no "
        "difference.",
    ]
