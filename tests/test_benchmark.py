"""The benchmark's structure, at tiny sizes; never its times."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from sim2real.benchmark import BenchmarkConfig, benchmark, ratios, tables

TINY = BenchmarkConfig(
    rounds=2,
    seconds=0.02,
    slices=2,
    num_envs=4,
    processes=2,
    ppo_steps=256,
    episodes=5,
)


def test_every_contestant_is_measured_in_every_round() -> None:
    lines: list[str] = []
    result = benchmark(TINY, report=lines.append)
    rates = result["steps_per_second"]
    assert {
        "our VecEnv",
        "bare batch loop",
        "bare batch, never reset",
        "DummyVecEnv",
        "SubprocVecEnv",
        "AsyncVectorEnv",
        "our PPO",
        "SB3 PPO",
        "our SAC, gradient steps",
        "SB3 SAC, gradient steps",
        "our evaluation",
        "SB3 evaluation",
    } <= set(rates)
    assert all(len(values) == 2 and min(values) > 0 for values in rates.values())
    assert len(lines) == 2 * len(TINY.parts)
    pairs = {(ratio["of"], ratio["over"]) for ratio in result["ratios"]}
    assert ("our PPO", "SB3 PPO") in pairs
    assert ("our VecEnv", "bare batch loop") in pairs
    assert json.loads(json.dumps(result)) == json.loads(json.dumps(result, allow_nan=False))
    console = Console(record=True, width=120)
    console.print(*tables(result))
    assert "SubprocVecEnv" in console.export_text()


def test_ratios_are_taken_within_a_round_against_the_best() -> None:
    rates = {
        "our VecEnv": [10.0, 40.0, 60.0],
        "DummyVecEnv": [5.0, 10.0, 10.0],
        "SubprocVecEnv": [1.0, 2.0, 3.0],
    }
    (found,) = ratios(rates)
    assert (found.of, found.over) == ("our VecEnv", "DummyVecEnv")
    assert (found.low, found.median, found.high) == pytest.approx((2.0, 4.0, 6.0))
    assert ratios({}) == []
