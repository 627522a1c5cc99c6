from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.transfer.budget import Budget, BudgetExceeded, Meter, MeteredVecEnv


def metered(env: Any, steps: int) -> MeteredVecEnv:
    return MeteredVecEnv(env, Meter(Budget(steps), control_dt=0.05))


def test_every_step_reset_and_fall_is_counted(counting: Callable[[int], Any]) -> None:
    env = metered(counting(4), 1000)
    env.reset()
    for _ in range(15):  # two episodes of seven steps end; worlds 0 and 2 fall at their ends
        env.step(np.zeros((4, 2)))
    used = env.meter.usage
    assert (used.steps, used.resets, used.falls) == (60, 4 + 2 * 4, 2 * 2)
    assert used.episodes == 2 * 4  # those that ended
    assert used.seconds == pytest.approx(60 * 0.05)


def test_the_step_that_would_exceed_is_not_made(counting: Callable[[int], Any]) -> None:
    world = counting(4)
    env = metered(world, 10)
    env.reset()
    env.step(np.zeros((4, 2)))
    env.step(np.zeros((4, 2)))
    with pytest.raises(BudgetExceeded, match="exceed the budget of 10: 8 are used"):
        env.step(np.zeros((4, 2)))
    assert world.stepped == env.meter.usage.steps == 8
    assert env.meter.remaining == 2


def test_environments_that_step_together_share_the_cap(counting: Callable[[int], Any]) -> None:
    meter = Meter(Budget(6), control_dt=0.05)
    first, second = (MeteredVecEnv(counting(4), meter) for _ in range(2))
    first.reset()
    second.reset()
    first.step_async(np.zeros((4, 2)))
    with pytest.raises(BudgetExceeded, match="exceed the budget of 6: 4 are used"):
        second.step_async(np.zeros((4, 2)))
    first.step_wait()
    assert meter.usage.steps == 4


@pytest.mark.parametrize("steps", [0, -5, 1.5, True])
def test_impossible_budgets(steps: Any) -> None:
    with pytest.raises(UserError, match="budget is"):
        Budget(steps)


def test_budget_smaller_than_one_batch() -> None:
    with pytest.raises(UserError, match="allowed: num_envs <= 10"):
        Budget(10).usable(16)
    assert Budget(50).usable(16) == 48


def test_meter_continues_and_reports(tmp_path: Path) -> None:
    meter = Meter(Budget(100), 0.05)
    meter.add(steps=40, episodes=2, resets=3, falls=1)
    again = Meter(Budget(100), 0.05)
    again.restore(meter.state())
    again.add(steps=10)
    again.write(tmp_path / "budget.json", privileged=False)
    report = read_json(tmp_path / "budget.json")
    assert report["used"] == {"steps": 50, "episodes": 2, "resets": 3, "falls": 1, "seconds": 2.5}
    assert (report["budget"], report["remaining"]) == (100, 50)
    assert (report["evaluations_charged"], report["privileged"]) == (False, False)
