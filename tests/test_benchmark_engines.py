"""The comparison of MuJoCo Warp with MuJoCo, with MuJoCo in the place of both."""

from __future__ import annotations

import pytest
from rich.console import Console

from sim2real.benchmark import engines, ratios
from sim2real.benchmark.engines import EnginesConfig, agreement, tables

CONFIG = EnginesConfig(tasks=("cartpole",), steps=(1, 3), num_envs=2, worlds=())


def test_equal_engines_are_not_apart_and_a_moved_start_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "in_warp", lambda domain, device: domain)
    rows = list(agreement(CONFIG))
    assert [(row.task, row.steps) for row in rows] == [("cartpole", 1), ("cartpole", 3)]
    assert all(row.warp == row.warp_largest == 0 for row in rows)
    assert all(0.9e-7 < row.moved < 1e-6 for row in rows)


def test_the_table_has_a_row_for_each_task_and_step() -> None:
    row = {"task": "ant", "steps": 10, "warp": 2e-6, "warp_largest": 3e-6, "moved": 1e-6}
    console = Console(record=True, width=120)
    console.print(*tables({"device": "cpu", "agreement": [row]}))
    assert "2.0e-06" in console.export_text()


def test_engines_are_compared_at_equal_numbers_of_worlds() -> None:
    rates = {
        "hopper in MuJoCo, 64 worlds": [10.0],
        "hopper in MuJoCo Warp, 64 worlds": [5.0],
        "hopper in MuJoCo, 256 worlds": [20.0],
        "hopper in MuJoCo Warp, 256 worlds": [40.0],
    }
    found = {ratio.of: ratio.median for ratio in ratios(rates)}
    assert found == {
        "hopper in MuJoCo Warp, 64 worlds": 0.5,
        "hopper in MuJoCo Warp, 256 worlds": 2.0,
    }
