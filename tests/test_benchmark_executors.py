from __future__ import annotations

import pytest

from sim2real.benchmark.executors import ExecutorsConfig, executors


@pytest.mark.usefixtures("short_cartpole")
def test_the_costs_of_this_process() -> None:
    (found,) = executors(ExecutorsConfig(executors=("inline",), cells=10, runs=1, steps=512))
    assert (found["executor"], found["workers"]) == ("inline", 1)
    assert found["runs_per_hour"] > 0
    assert found["run_files"] > 10
    assert found["run_bytes"] > 10_000
