"""The report of `comparison`: a table of methods for each task and setting, from the files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim2real import files

Results = Sequence[Mapping[str, Any]]
"""The contents of the files of one task and setting."""

HEAD = """\
# Ways to identify, side by side

Made by `python scripts/compare_identification.py`: random targets of a family of masses, damping,
floor friction and strength (each a factor between 0.5 and 2), 1,000 control steps of the shipped
policy with exploration noise. `plain` has neither noise nor delay; `late-noisy` has noise of
0.005 (m, rad, m/s, rad/s) on all sensors and commands that are late by up to two control steps,
which is an unknown too.

- **error**: of all unknowns, relative to the truth: the median and the largest, over all targets.
  What no log can show is not among the unknowns: the mass of the cart (a cartpole shows only
  proportions of masses and forces). A delay of 0 has no relative error and is left out.
- **prediction**: on a second log of the target, which no method was given: the median error at
  the end of a window, in units of a channel's change in a control step. The truth itself is not
  at 0 where sensors are noisy or clipped.
- **simulated steps** are control steps. **CPU** is that of one thread, which other work on the
  machine hardly changes.

What each is given:

- `identify`: the log and the family; nothing else, no settings. It estimates the start states and
  fits them, holds a fifth of the windows out, and its time includes the posterior and the search
  for what is missing.
- `mujoco.sysid`: the same family and windows, the start states that the readings show, and
  residuals in the units that ours have; no noise model, start states as they are. Compiled models
  are shared between windows, which saves most of its time. It has no delay of commands: each
  possible one is tried with four iterations, and the best is refined.
- `SimOpt`: the same windows, with L1 and squared distances of whole trajectories, by CMA-ES
  (`cma`); as many simulated steps as ours.
- `DROPO`: transitions of one control step (five in `late-noisy`), 50 of them with 20 draws each,
  by CMA-ES over means and standard deviations; as many simulated steps as ours, and the true
  variance of the noise in its epsilon. Its result is a distribution to train in; compared here is
  the mean.
"""
ROW = "| {} | {} | {} | {} | {} | {} |"


def report(folder: Path, left_out: Mapping[str, str]) -> str:
    """The report of the results in a folder, as Markdown."""
    groups: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("*-*.json")):
        groups.setdefault(path.stem.rpartition("-")[0], []).append(files.read_json(path))
    lines = [HEAD, *(f"`{name}` is left out: {why}.\n" for name, why in left_out.items())]
    for title, results in groups.items():
        lines += [f"## {title}\n", *_table(results), ""]
    return "\n".join([*lines, _loads([one for many in groups.values() for one in many])]) + "\n"


def _table(results: Results) -> Iterator[str]:
    names = [name for name in results[0]["methods"] if all(name in r["methods"] for r in results)]
    yield f"Targets: {len(results)}; unknowns: {', '.join(results[0]['truth'])}.\n"
    yield ROW.format("method", "median error", "largest", "prediction", "simulated steps", "CPU")
    yield ROW.format("---", "---:", "---:", "---:", "---:", "---:")
    for name in names:
        yield _row(name, results)
    for name in ("truth", "nominal"):
        yield ROW.format(
            f"({name})", "", "", f"{_mean(r['prediction'][name] for r in results)}", "", ""
        )


def _row(name: str, results: Results) -> str:
    wrong = [error for result in results for error in errors(result, name)]
    own = [result["methods"][name] for result in results]
    return ROW.format(
        name,
        f"{np.median(wrong):.2%}",
        f"{np.max(wrong):.1%}",
        _mean(one["prediction"] for one in own),
        f"{np.mean([one['simulated_steps'] for one in own]):,.0f}",
        f"{np.mean([one['cpu_seconds'] for one in own]):.0f} s",
    )


def errors(result: Mapping[str, Any], method: str) -> list[float]:
    """The errors of all unknowns, relative to the truth; without those whose truth is 0."""
    found, truth = result["methods"][method]["values"], result["truth"]
    return [abs(found[name] - one) / abs(one) for name, one in truth.items() if one]


def _mean(values: Iterator[float]) -> str:
    return f"{np.mean(list(values)):.3g}"


def _loads(results: Results) -> str:
    loads = [one["load"] for result in results for one in result["methods"].values()]
    span = f"{min(loads):.0f} to {max(loads):.0f}"
    return (
        f"Measured on {os.cpu_count()} cores under a load of {span}; wall-clock times are in the "
        "files."
    )
