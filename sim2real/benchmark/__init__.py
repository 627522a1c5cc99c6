"""The speed of simulation, training and evaluation against the usual alternatives.

Every contestant is measured in the same run, in interleaved rounds, because absolute times drift
on a shared machine and ratios within a round do not. All act on Hopper (four substeps of RK4) at
uniformly random actions, on every core, and all reset a fallen hopper.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sim2real.benchmark.core import (
    BARE,
    OUR_EVALUATION,
    OUR_PPO,
    OUR_SAC,
    OURS,
    SB3_EVALUATION,
    SB3_PPO,
    SB3_SAC,
    BenchmarkConfig,
    Measure,
    cores,
)
from sim2real.benchmark.stepping import (
    BARE_QUADRUPED,
    OUR_QUADRUPED,
    TASKS,
    nominal_name,
    randomization,
    randomized_name,
    robots,
    stepping,
    warp,
)
from sim2real.benchmark.training import evaluation, ppo, sac
from sim2real.runs.run import versions

__all__ = ["BenchmarkConfig", "Ratio", "benchmark", "ratios", "tables"]


@dataclass(frozen=True)
class Ratio:
    """Steps per second of one contestant over another's: median and range over the rounds."""

    of: str
    over: str
    median: float
    low: float
    high: float
    wanted: float


def benchmark(config: BenchmarkConfig | None = None, report: Callable[[str], None] = print) -> Any:
    """Run the benchmark; return settings, machine, steps per second by round, and ratios."""
    config = config or BenchmarkConfig()
    parts = {
        "stepping": stepping,
        "randomization": randomization,
        "robots": robots,
        "ppo": ppo,
        "sac": sac,
        "evaluation": evaluation,
        "warp": warp,
    }
    rates: dict[str, list[float]] = {}
    for part in config.parts:
        with contextlib.ExitStack() as stack:
            contestants = {
                name: stack.enter_context(manager) for name, manager in parts[part](config).items()
            }
            slices = 1 if part in ("ppo", "evaluation") else config.slices
            _interleave(contestants, config.rounds, slices, rates, report)
    return {
        "config": asdict(config) | {"policy": str(config.policy) if config.policy else None},
        "machine": {"cores": cores(), "load": os.getloadavg()[0], "versions": versions()},
        "steps_per_second": rates,
        "ratios": [asdict(ratio) for ratio in ratios(rates)],
    }


def _interleave(
    contestants: dict[str, Measure],
    rounds: int,
    slices: int,
    rates: dict[str, list[float]],
    report: Callable[[str], None],
) -> None:
    """Give each contestant `slices` turns a round, starting with another one each time."""
    names = list(contestants)
    for index in range(rounds):
        steps, seconds = dict.fromkeys(names, 0), dict.fromkeys(names, 0.0)
        for turn in range(slices):
            start = (index + turn) % len(names)
            for name in names[start:] + names[:start]:
                more, taken = contestants[name]()
                steps[name] += more
                seconds[name] += taken
        for name in names:
            rates.setdefault(name, []).append(steps[name] / seconds[name])
        speeds = ", ".join(f"{name} {rates[name][-1]:,.0f}" for name in names)
        report(f"round {index + 1} of {rounds}, steps/s: {speeds}")


def ratios(rates: dict[str, list[float]]) -> list[Ratio]:
    """The ratios with a wanted value, of the contestants that were measured.

    >>> ratios({"our PPO": [30.0, 20.0, 40.0], "SB3 PPO": [10.0, 10.0, 10.0]})[0].median
    3.0
    """
    compared = [
        (OURS, (BARE,), 0.90),
        (OURS, ("DummyVecEnv", "SubprocVecEnv"), 3.0),
        (OURS, ("AsyncVectorEnv",), 3.0),
        (OURS, ("EnvPool",), 0.95),
        *((randomized_name(task), (nominal_name(task),), 0.90) for task in TASKS),
        (OUR_QUADRUPED, (BARE_QUADRUPED,), 0.85),
        (OUR_PPO, (SB3_PPO,), 2.5),
        (OUR_SAC, (SB3_SAC,), 1.5),
        (OUR_EVALUATION, (SB3_EVALUATION,), 5.0),
        *((one, (one.replace("MuJoCo Warp", "MuJoCo"),), 1.0) for one in rates if "Warp" in one),
    ]
    found = []
    for of, others, wanted in compared:
        others = tuple(name for name in others if name in rates)
        if of in rates and others:
            best = max(others, key=lambda name: statistics.median(rates[name]))
            each = [a / b for a, b in zip(rates[of], rates[best], strict=True)]
            found.append(Ratio(of, best, statistics.median(each), min(each), max(each), wanted))
    return found


def tables(result: Any) -> list[Any]:
    """Rich tables of a benchmark's result: steps per second, and ratios with their range."""
    from rich.table import Table

    rates = Table("contestant", "median", "range", title="steps/s, on Hopper unless named")
    for name, values in result["steps_per_second"].items():
        span = f"{min(values):,.0f} .. {max(values):,.0f}"
        rates.add_row(name, f"{statistics.median(values):,.0f}", span)
    shown = Table("ratio", "median", "range", "wanted", title="ratios within a round")
    for ratio in result["ratios"]:
        shown.add_row(
            f"{ratio['of']} / {ratio['over']}",
            f"{ratio['median']:.2f}",
            f"{ratio['low']:.2f} .. {ratio['high']:.2f}",
            f">= {ratio['wanted']:.2f}",
        )
    return [rates, shown]
