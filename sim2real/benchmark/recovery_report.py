"""The summary and the report of `recovery`, from the files of the single targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim2real import files

DETERMINED = ("identified", "at the boundary of its range")
"""The status of an unknown that the log determines, in the table of an identification."""

HEAD = """\
# Recovery of random targets

Made by `python scripts/recovery.py`: targets drawn from the default family of each task (the inner
90 % of every range), with delays, recorded under the shipped policy of the task (random commands
where there is none) with exploration noise of 0.3 halves of the range. Noise on all sensors: 0.05
on velocities (m/s, rad/s), 0.005 on all else (m, rad and so on). `identify` gets the log alone.

- **error**: relative to the truth, median and 90th percentile, of the targets for which the unknown
  is reported as determined (**n**). Where a log shows the proportions of several unknowns only, and
  says so, one common factor is taken out first; **as found** is the error without that.
- **inside**: how many truths lie in their 90 % intervals, of all targets in which the unknown has
  an effect.
- **coverage**: the same over all unknowns.
"""


def write_summary(folder: Path) -> None:
    """Write `summary.json` and `report.md` of the results in a folder."""
    found = summary(folder)
    files.write_json(folder / "summary.json", found)
    files.write_text(folder / "report.md", report(found))


def summary(folder: Path) -> dict[str, Any]:
    """Errors of each unknown, coverage and seconds, by task and steps, from the files."""
    found: dict[str, Any] = {}
    for place in sorted(one for one in folder.iterdir() if one.is_dir()):
        results = [files.read_json(path) for path in sorted(place.glob("*.json"))]
        steps = sorted({int(one) for result in results for one in result})
        found[place.name] = {
            str(one): _of_steps([r[str(one)] for r in results if str(one) in r]) for one in steps
        }
    return found


def error_of(row: Mapping[str, Any]) -> float | None:
    """The relative error of an unknown, in proportion where the log shows nothing else."""
    found: float | None = row["relative"] if row["proportion"] is None else row["proportion"]
    return found


def _of_steps(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rows = [r for result in results for r in result["unknowns"] if r["status"] != "no effect"]
    names = list(dict.fromkeys(row["name"] for row in rows))
    determined = [row for row in rows if row["status"] in DETERMINED]
    return {
        "targets": len(results),
        "coverage": round(float(np.mean([row["inside"] for row in rows])), 3),
        "intervals": len(rows),
        "explained": int(sum(result["explained"] for result in results)),
        "error": _quantiles([error_of(row) for row in determined]),
        "seconds": _quantiles([result["seconds"] for result in results]),
        "cpu_seconds": _quantiles([result["cpu_seconds"] for result in results]),
        "load": _quantiles([result["load"] for result in results]),
        "unknowns": {name: _of_unknown([r for r in rows if r["name"] == name]) for name in names},
    }


def _of_unknown(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    determined = [row for row in rows if row["status"] in DETERMINED]
    return {
        "targets": len(rows),
        "determined": len(determined),
        "inside": int(sum(row["inside"] for row in rows)),
        "error": _quantiles([error_of(row) for row in determined]),
        "as_found": _quantiles([row["relative"] for row in determined]),
        "absolute": _quantiles([row["error"] for row in determined]),
    }


def _quantiles(values: Sequence[float | None]) -> list[float] | None:
    """The median and the 90th percentile of what is there."""
    known = [one for one in values if one is not None]
    return np.quantile(known, [0.5, 0.9]).round(6).tolist() if known else None


def report(found: Mapping[str, Any]) -> str:
    """The report of a summary, as Markdown."""
    lines = [HEAD]
    for task, by_steps in found.items():
        lines += [f"## {task}\n", *_overview(by_steps), ""]
        for steps, one in by_steps.items():
            lines += [f"From {int(steps):,} steps:\n", *_table(one["unknowns"]), ""]
    return "\n".join(lines)


def _overview(by_steps: Mapping[str, Any]) -> Iterator[str]:
    yield "| steps | targets | explained | median error | 90 % | coverage | s | s of CPU |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for steps, one in by_steps.items():
        median, most = _percent(one["error"])
        yield (
            f"| {int(steps):,} | {one['targets']} | {one['explained']} | {median} | {most} | "
            f"{one['coverage']:.0%} of {one['intervals']} | {one['seconds'][0]:.0f} | "
            f"{one['cpu_seconds'][0]:.0f} |"
        )


def _table(unknowns: Mapping[str, Any]) -> Iterator[str]:
    yield "| unknown | n | median error | 90 % | as found: median | 90 % | inside |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, one in unknowns.items():
        columns = [*_percent(one["error"]), *_percent(one["as_found"])]
        yield (
            f"| {name} | {one['determined']} | {' | '.join(columns)} | "
            f"{one['inside']} of {one['targets']} |"
        )


def _percent(values: Sequence[float] | None) -> list[str]:
    return ["", ""] if values is None else [f"{one:.2%}" for one in values]
