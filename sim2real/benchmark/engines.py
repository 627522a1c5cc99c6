"""MuJoCo Warp on this machine: how far it comes apart from MuJoCo, and control steps per second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim2real.benchmark import BenchmarkConfig, benchmark
from sim2real.benchmark import tables as speed_tables
from sim2real.benchmark.stepping import in_warp
from sim2real.domains import load_domain
from sim2real.domains.entries.engine import Warp
from sim2real.simulation import Simulation
from sim2real.simulation.engines.device import find_device
from sim2real.task import Array

TASKS = ("cartpole", "hopper", "half_cheetah", "ant", "furuta", "arm_reach", "quadruped")
ROUNDING = 1e-7
"""By how much start positions are moved, in m or rad: as single precision rounds a 1."""


@dataclass(frozen=True)
class EnginesConfig:
    """What is compared."""

    device: str = "auto"
    """The device of MuJoCo Warp: "cuda", "cuda:1" or "cpu"; by default the first GPU, if any."""
    tasks: tuple[str, ...] = TASKS
    """Tasks whose positions are compared."""
    steps: tuple[int, ...] = (1, 10, 50)
    """Control steps after which they are."""
    num_envs: int = 16
    """Worlds of that comparison."""
    worlds: tuple[int, ...] = (64, 256, 1024, 4096, 16384)
    """Numbers of worlds whose speed is measured; none: no speed."""
    rounds: int = 5
    """Rounds of the measurement of speed."""
    seed: int = 0
    """Seed of actions and simulations."""


@dataclass(frozen=True)
class Apart:
    """How far positions are from those of MuJoCo after some control steps of a task, in m or rad.

    Of the largest difference in each world: the median and the largest with MuJoCo Warp, and the
    median with MuJoCo itself from start positions that are moved by `ROUNDING`.
    """

    task: str
    steps: int
    warp: float
    warp_largest: float
    moved: float


def agreement(config: EnginesConfig) -> Iterator[Apart]:
    """Compare the engines on the nominal tasks, at equal random actions and without resets.

    Raises UserError for an unknown task, and where MuJoCo Warp is not installed.
    """
    for task in config.tasks:
        nominal = load_domain(task)
        domains = (nominal, in_warp(nominal, config.device), nominal)
        worlds = [Simulation(task, one, config.num_envs, config.seed) for one in domains]
        here, there, moved = worlds
        rng, space = np.random.default_rng(config.seed), here.action_space
        start = moved.qpos + ROUNDING * rng.choice([-1.0, 1.0], moved.qpos.shape)
        moved.write_state(start, moved.qvel.copy())
        for step in range(1, max(config.steps) + 1):
            action = rng.uniform(space.low, space.high, (config.num_envs, *space.shape))
            for simulation in worlds:
                simulation.advance(action.astype(np.float32))
            if step in config.steps:
                warp, rounded = _apart(here, there), _apart(here, moved)
                medians = float(np.median(warp)), float(np.median(rounded))
                yield Apart(task, step, medians[0], float(warp.max()), medians[1])
        for simulation in worlds:
            simulation.close()


def _apart(one: Simulation, other: Simulation) -> Array:
    """The largest difference of a position in each world, (n,)."""
    found: Array = np.abs(one.qpos - other.qpos).max(axis=1)
    return found


def compare_engines(
    config: EnginesConfig | None = None, report: Callable[[str], None] = print
) -> dict[str, Any]:
    """Agreement and speed of MuJoCo Warp on this machine, as plain data; the name of its device."""
    config = config or EnginesConfig()
    settings = Warp(name="warp", device=config.device)
    result: dict[str, Any] = {"device": find_device(settings, "benchmark").name, "agreement": []}
    report(f"device: {result['device']}")
    for apart in agreement(config):
        report(f"{apart.task}, {apart.steps} steps: {apart.warp:.1e} apart")
        result["agreement"].append(asdict(apart))
    if config.worlds:
        sizes = BenchmarkConfig(
            parts=("warp",),
            rounds=config.rounds,
            warp_worlds=config.worlds,
            device=config.device,
            seed=config.seed,
        )
        result["speed"] = benchmark(sizes, report)
    return result


def tables(result: dict[str, Any]) -> list[Any]:
    """Rich tables of a comparison: agreement, and speed where it was measured."""
    from rich.table import Table

    columns = ("task", "control steps", "Warp", "largest", "MuJoCo, start moved")
    table = Table(*columns, title="difference of positions from MuJoCo, m or rad")
    for row in result["agreement"]:
        numbers = (f"{row[key]:.1e}" for key in ("warp", "warp_largest", "moved"))
        table.add_row(row["task"], str(row["steps"]), *numbers)
    return [table, *(speed_tables(result["speed"]) if "speed" in result else [])]
