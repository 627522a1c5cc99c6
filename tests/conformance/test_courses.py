"""A course on every task: nothing before its step, and what was drawn after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation

STEP, STEPS = 8, 24


def trajectory(task: str, domain: Domain | None) -> np.ndarray:
    simulation = Simulation(task, domain, num_envs=2, seed=1, threads=1)
    rng, space = np.random.default_rng(0), simulation.action_space
    actions = rng.uniform(space.low, space.high, (STEPS, 2, *space.shape))
    return np.stack([simulation.advance(action).observation for action in actions])


def domain(task: str, course: dict[str, Any] | None) -> Domain:
    of = {"course": course} if course else {}
    return Domain(
        dynamics=[{"field": "body_mass", "scale": 1.4, "shared": True, **of}],
        actuation=[{"strength": 0.5, "shared": True, **of}],
    )


@pytest.mark.parametrize("task", task_names())
def test_a_step_comes_at_its_time_and_a_ramp_after_it(task: str) -> None:
    at = STEP * load_task(task).control_dt
    nominal = trajectory(task, None)
    for course in ({"step": at}, {"ramp": at, "over": 2 * at}):
        moved = trajectory(task, domain(task, course))
        np.testing.assert_array_equal(moved[:STEP], nominal[:STEP])
        assert (np.abs(moved - nominal).max(axis=(0, 2)) > 1e-3).all()
        assert np.isfinite(moved).all()
    at_once = trajectory(task, domain(task, {"step": 0.0}))
    np.testing.assert_allclose(at_once, trajectory(task, domain(task, None)), rtol=0, atol=1e-9)
