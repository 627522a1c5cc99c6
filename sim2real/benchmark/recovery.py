"""How well identification finds random targets of a family: errors, intervals, seconds.

The figures of docs/howto/identify.md. A target is drawn from the default family of its task, with
noise on its sensors; the shipped policy of the task commands it, with exploration noise. One file
holds the results of one target; results that exist are not made again. The summary and the report
are written anew after each identification.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim2real import files
from sim2real.benchmark.recovery_report import DETERMINED, error_of, write_summary
from sim2real.domains.distributions.distribution import Constant
from sim2real.identification.family import Family, family_of
from sim2real.identification.identify import identify
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.identification.result import Identification, with_noise
from sim2real.registry import load_task
from sim2real.runs.load import load_run
from sim2real.runs.pretrained import pretrained_names
from sim2real.simulation import Simulation
from sim2real.task import Task

MARGIN = 0.05
"""Share of a range next to its ends in which no target lies."""
NOISE, VELOCITY_NOISE = 0.005, 0.05
"""Standard deviations of the noise on the sensors: in m, rad and so on, and in m/s, rad/s and so
on."""
EXPLORATION = 0.3
"""Standard deviation of the noise on the actions, in halves of their range."""


@dataclass(frozen=True)
class RecoveryConfig:
    """Which targets are identified, from how many steps of each."""

    tasks: tuple[str, ...] = ("hopper", "half_cheetah", "furuta", "arm_reach", "ant", "quadruped")
    targets: int = 10
    """Targets of each task."""
    steps: tuple[int, ...] = (500, 1_000, 2_000, 5_000)
    """Control steps of the target that are recorded."""
    seed: int = 0
    threads: int = 0
    out: Path = Path("docs/results/recovery")
    """Folder for one file per target, the summary and the report."""
    most: dict[str, int] = field(default_factory=lambda: {"ant": 4, "quadruped": 4})
    """The most targets of a task."""


def recovery(config: RecoveryConfig) -> Iterator[str]:
    """Identify each target that has no result yet, first number 0 of every task; a line each."""
    families = {name: family_of(load_task(name)) for name in config.tasks}
    for number in range(config.targets):
        for name in config.tasks:
            if number < config.most.get(name, config.targets):
                yield from _one_target(families[name], number, config)


def _one_target(family: Family, number: int, config: RecoveryConfig) -> Iterator[str]:
    path = config.out / family.task.name / f"{number:02d}.json"
    for steps in config.steps:
        known = files.read_json(path) if path.exists() else {}
        if str(steps) not in known:
            known[str(steps)] = one_target(family, steps, number, config)
            files.write_json(path, known)
            write_summary(config.out)
            yield f"{family.task.name} target {number}, {steps} steps: {_line(known[str(steps)])}"


def one_target(family: Family, steps: int, number: int, config: RecoveryConfig) -> dict[str, Any]:
    """Draw a target, record it, identify it, and compare."""
    truth = drawn(family, config.seed + number)
    noise = sensor_noise(family.task)
    log = recorded(family, truth, steps, config.seed + number, noise)
    used = time.process_time()
    found = identify(log, family.task, family.domain, config.seed, threads=config.threads)
    return {
        "seconds": round(found.seconds, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "load": round(os.getloadavg()[0], 1),
        "simulated_steps": found.simulated_steps,
        "explained": found.explained,
        "unknowns": list(compared(found, truth)),
    }


def drawn(family: Family, seed: int) -> dict[str, float]:
    """The values of a random member of the family; delays are whole physics steps."""
    shares = np.random.default_rng(seed).uniform(MARGIN, 1 - MARGIN, len(family.names))
    values = family.rounded(family.space.values(shares))
    return dict(zip(family.names, values.tolist(), strict=True))


def sensor_noise(task: Task) -> dict[str, float]:
    """The standard deviation of the noise on each sensed term, by its unit."""
    return {
        term.name: VELOCITY_NOISE if "/s" in term.unit else NOISE
        for term in Simulation(task, None, 1, threads=1).policy_terms
        if not term.commanded
    }


def recorded(
    family: Family,
    truth: Mapping[str, float],
    steps: int,
    seed: int,
    noise: Mapping[str, float],
) -> Log:
    """A log of the target with these values, from the shipped policy, or random commands.

    `noise` has the standard deviations of noise by term.
    """
    constants = {name: Constant(value) for name, value in truth.items()}
    task = family.task
    target = with_noise(family.with_distributions(constants, "target"), noise)
    worlds = Simulation(task, target, 1, seed=seed, threads=1)
    return record(worlds, _policy(task, steps, seed), steps, EXPLORATION, seed)


def _policy(task: Task, steps: int, seed: int) -> Any:
    if task.name in pretrained_names():
        return load_run(f"pretrained:{task.name}", task=task.name).policy
    count = Simulation(task, None, 1, threads=1).action_size
    return np.random.default_rng(seed).uniform(-1, 1, (steps, count))


def compared(found: Identification, truth: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Each unknown with its truth and its error; no relative error where the truth is 0.

    Where the log shows only the proportions of some unknowns, `proportion` is the relative error
    after they were all divided by one common factor, the best.
    """
    values = {row.name: row.value for row in found.table}
    together = [one for one in found.together if truth[one] > 0 and values[one] > 0]
    logs = [np.log(values[one] / truth[one]) for one in together]
    factor = float(np.exp(np.median(logs or [0.0])))
    for row in found.table:
        true = truth[row.name]
        scaled = row.value / factor
        yield {
            "name": row.name,
            "truth": true,
            "value": row.value,
            "low": row.low,
            "high": row.high,
            "status": row.status,
            "error": abs(row.value - true),
            "relative": abs(row.value - true) / abs(true) if true else None,
            "proportion": abs(scaled - true) / abs(true) if row.name in together else None,
            "inside": bool(row.low <= true <= row.high),
        }


def _line(result: Mapping[str, Any]) -> str:
    rows = [row for row in result["unknowns"] if row["status"] in DETERMINED]
    errors = [error for error in map(error_of, rows) if error is not None]
    inside = np.mean([row["inside"] for row in result["unknowns"]])
    return (
        f"{len(rows)} of {len(result['unknowns'])} identified, median error "
        f"{np.median(errors or [np.nan]):.1%}, {inside:.0%} inside, {result['seconds']:.0f} s "
        f"({result['cpu_seconds']:.0f} s of CPU)"
    )
