"""Put the tables into docs/robots.md: `python scripts/robots.py`.

They show the reports in docs/results/robots, each of a study in studies/robots.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from sim2real.files import read_json, write_text
from sim2real.studies.report.formats import text

NOMINAL, RANDOMIZED = "nominal", "randomized"
PAGE, RESULTS = Path("docs/robots.md"), Path("docs/results/robots")
HELPS = {"better": "yes", "worse": "**no**"}
"""Whether randomization helps, by the verdict, which is corrected for all domains of the table."""
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
    steps, seeds = f"{report['made']['steps']:,}", len(report["seeds"])
    domains = {name: report["returns"][name] for name in _in_order(report["returns"])}
    judged = any(_verdict(ways) != "too few seeds" for ways in domains.values())
    return "\n".join(
        [
            f"## {report['task']}",
            "",
            f"{steps} control steps each, {seeds} seed{'s' if seeds > 1 else ''}, "
            f"{report['episodes']} episodes a seed and domain.",
            "",
            "| domain | trained in `nominal` | success | trained in `randomized` | success "
            f"| difference |{' helps |' if judged else ''}",
            f"|---|---:|---:|---:|---:|---:|{'---|' if judged else ''}",
            *(_row(name, ways, judged) for name, ways in domains.items()),
            "",
            _beneath(domains, judged),
        ]
    )


def _verdict(ways: Mapping[str, Any]) -> str:
    return str(ways[RANDOMIZED]["difference"]["verdict"])


def _row(name: str, ways: Mapping[str, Any], judged: bool) -> str:
    difference = {**ways[RANDOMIZED]["difference"]}
    verdict = difference.pop("verdict")
    cells = [
        f"`{name}`",
        *(cell for way in (NOMINAL, RANDOMIZED) for cell in _cells(ways[way])),
        text(difference, "whole"),
        *([HELPS.get(verdict, verdict)] if judged else []),
    ]
    return f"| {' | '.join(cells)} |"


def _cells(way: Mapping[str, Any]) -> tuple[str, str]:
    """Return and success."""
    return text(way, "whole"), text(way["success"], "percent")


def _beneath(domains: Mapping[str, Any], judged: bool) -> str:
    """What the verdicts of a table were corrected for, or why there are none."""
    if not judged:
        return "One seed: the intervals are those of these two policies; no verdict on the methods."
    count = max(ways[RANDOMIZED]["difference"]["comparisons"] for ways in domains.values())
    return f"The verdicts are corrected for {count} comparisons (Holm)."


def _in_order(names: Sequence[str]) -> list[str]:
    """`nominal` first, then what was randomized, then the targets."""
    first = [NOMINAL, RANDOMIZED]
    return first + [name for name in names if name not in first]


if __name__ == "__main__":
    tyro.cli(main)
