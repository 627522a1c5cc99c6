"""Put the tables into docs/robots.md: `python scripts/robots.py`.

They show the reports in docs/results/robots, each of a study in studies/robots.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from sim2real.evaluation.page import percent, whole, wholes
from sim2real.files import read_json, write_text

NOMINAL, RANDOMIZED = "nominal", "randomized"
PAGE, RESULTS = Path("docs/robots.md"), Path("docs/results/robots")
BEGIN, END = "<!-- tables: scripts/robots.py -->", "<!-- end of tables -->"


def main(page: Path = PAGE, results: Path = RESULTS):
    before, _, rest = page.read_text().partition(BEGIN)
    write_text(page, before + tables(results) + rest.partition(END)[2])


def tables(results: Path) -> str:
    """All tables, between their marks."""
    found = [section(read_json(path)) for path in sorted(results.glob("*/report.json"))]
    return "\n\n".join([BEGIN, *found, END])


def section(report: Mapping[str, Any]) -> str:
    """The heading and the table of one robot."""
    steps, seeds = whole(report["made"]["steps"]), len(report["seeds"])
    domains = {name: report["returns"][name] for name in _in_order(report["returns"])}
    return "\n".join(
        [
            f"## {report['task']}",
            "",
            f"{steps} control steps each, {seeds} seed{'s' if seeds > 1 else ''}, "
            f"{report['episodes']} episodes a seed and domain.",
            "",
            "| domain | trained in `nominal` | success | trained in `randomized` | success "
            "| difference | pays |",
            "|---|---:|---:|---:|---:|---:|---|",
            *(_row(name, ways) for name, ways in domains.items()),
        ]
    )


def verdict(difference: Mapping[str, float]) -> str:
    """Whether randomization pays: what the interval of the difference says."""
    if difference["low"] > 0:
        return "yes"
    return "**no**" if difference["high"] < 0 else "unclear"


def _row(name: str, ways: Mapping[str, Any]) -> str:
    first, second = ways[NOMINAL], ways[RANDOMIZED]
    difference = second["difference"]
    cells = [
        f"`{name}`",
        *(cell for way in (first, second) for cell in (_score(way), _success(way["success"]))),
        f"{whole(difference['value'])} ({wholes(difference)})",
        verdict(difference),
    ]
    return f"| {' | '.join(cells)} |"


def _score(way: Mapping[str, Any]) -> str:
    return f"{whole(way['value'])} ({wholes(way)})"


def _success(found: Mapping[str, Any] | None) -> str:
    return "–" if found is None else percent(found["value"])


def _in_order(names: Sequence[str]) -> list[str]:
    """`nominal` first, then what was randomized, then the targets."""
    first = [NOMINAL, RANDOMIZED]
    return first + [name for name in names if name not in first]


if __name__ == "__main__":
    tyro.cli(main)
