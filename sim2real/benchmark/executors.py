"""What running cells costs on each executor: start, each cell, the main process, runs an hour."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim2real.domains import load_domain
from sim2real.policies.recipe import load_recipe
from sim2real.registry import load_task
from sim2real.studies.executors.find import Where
from sim2real.studies.executors.schedule import run_cells
from sim2real.studies.ledger import Cell

EMPTY, TRAIN = "json:dumps", "sim2real.studies.work:run_cell"


@dataclass(frozen=True)
class ExecutorsConfig:
    """What is measured, on every executor with each number of workers."""

    executors: tuple[str, ...] = ("inline", "local", "ray")
    workers: tuple[int, ...] = (1, 2)
    cells: int = 300
    """Cells that do nothing."""
    runs: int = 6
    """Trainings of cartpole by PPO with 16 worlds; 0 for none."""
    steps: int = 32_768
    """Control steps of each."""


def executors(config: ExecutorsConfig) -> Iterator[dict[str, Any]]:
    """The costs of each executor: seconds to its first empty cell, milliseconds for each more.

    `driver_ms` is the time of the main process's processor for a cell, `runs_per_hour` that of the
    trainings with the start of the workers, `run_files` and `run_bytes` what one of them left.
    """
    for name in config.executors:
        for workers in (None,) if name == "inline" else config.workers:
            where = Where(name, workers)
            with tempfile.TemporaryDirectory() as folder:
                measured = _costs(where, _empty(config.cells), Path(folder))
                measured |= _trainings(where, config, Path(folder)) if config.runs else {}
            yield {"executor": name, "workers": workers or 1} | measured


def _costs(where: Where, cells: Sequence[Cell], folder: Path) -> dict[str, float]:
    started = time.monotonic()
    outcomes = run_cells(cells, where.open(EMPTY, cells=len(cells), folder=folder))
    next(outcomes)
    first, processor = time.monotonic(), time.process_time()
    rest = sum(1 for _ in outcomes)
    return {
        "start_s": round(first - started, 2),
        "cell_ms": round(1000 * (time.monotonic() - first) / rest, 2),
        "driver_ms": round(1000 * (time.process_time() - processor) / rest, 2),
    }


def _trainings(where: Where, config: ExecutorsConfig, folder: Path) -> dict[str, float]:
    cells = _runs(config, folder)
    started = time.monotonic()
    for outcome in run_cells(cells, where.open(TRAIN, cells=len(cells), folder=folder)):
        if outcome.status != "done":
            raise RuntimeError(outcome.detail)
    seconds = time.monotonic() - started
    files = [file for file in Path(cells[0].work["run"]).rglob("*") if file.is_file()]
    return {
        "runs_per_hour": round(3600 * len(cells) / seconds),
        "run_files": len(files),
        "run_bytes": sum(file.stat().st_size for file in files),
    }


def _empty(count: int) -> list[Cell]:
    return [Cell(f"empty-{number}", "key", {"number": number}) for number in range(count)]


def _runs(config: ExecutorsConfig, folder: Path) -> list[Cell]:
    """Trainings that differ in their seed."""
    task = load_task("cartpole")
    domain = load_domain(task, "nominal")
    work = {
        "kind": "pretrain",
        "task": task.reference,
        "task_options": task.options,
        "domain": {"name": domain.name, **domain.plain()},
        "recipe": load_recipe("ppo", task.name, {"num_envs": 16}).model_dump(mode="json"),
        "steps": config.steps,
    }
    return [
        Cell(f"run-{seed}", "key", {**work, "seed": seed, "run": str(folder / f"run-{seed}")})
        for seed in range(config.runs)
    ]
