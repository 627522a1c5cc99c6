"""Every kind of imperfection of actuators and sensors on every task."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from conformance_cases import in_turn, slow_unless

from sim2real.domains import Domain
from sim2real.domains.entries.kinds import ACTUATION, SENSING
from sim2real.errors import UserError
from sim2real.evaluation.kind_checks import usual_magnitude
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation

STEPS = 30


@functools.cache
def control(task: str) -> tuple[float, float]:
    """The smallest half range of a control signal, and the control step in s."""
    loaded = load_task(task)
    low, high = loaded.compile().actuator_ctrlrange.T
    return float((high - low).min() / 2), loaded.control_dt


def actuation(kind: str, task: str) -> dict[str, Any]:
    """An imperfection of the actuators that is felt within `STEPS` control steps."""
    half, dt = control(task)
    magnitudes = {
        "latency": 1.5 * dt,
        "repeat": 2,
        "dropped": 0.3,
        "held": 0.3,
        "quantization": half,
        "noise": {"normal": [0.0, 0.3 * half]},
        "saturation": 0.1,
        "dead_zone": 0.3 * half,
        "rate_limit": 0.03 * half / dt,
        "lag": 2 * dt,
        "backlash": 0.5 * half,
        "delay": 1.5 * dt,
        "strength": 0.7,
        "no_load_speed": 0.3,
        "load_friction": 0.5,
    }
    return {kind: magnitudes.get(kind) or usual_magnitude(ACTUATION[kind], 0.3 * half)}


def sensing(kind: str, task: str) -> dict[str, Any]:
    """An imperfection of the sensors that is felt within `STEPS` control steps."""
    _, dt = control(task)
    magnitudes = {
        "delay": 1.5 * dt,
        "rate": 0.4 / dt,
        "scale": 0.8,
        "bias": 0.2,
        "drift": 1.0,
        "noise": {"normal": [0.0, 0.2]},
        "saturation": 0.05,
        "quantization": 0.5,
        "stuck": 0.2,
        "dropped": 0.3,
        "held": 0.3,
        "reward_delay": 1.5 * dt,
    }
    return {kind: magnitudes.get(kind) or usual_magnitude(SENSING[kind], 0.3)}


@functools.cache
def nominal(task: str) -> np.ndarray:
    return trajectory(task, None)


def trajectory(task: str, domain: Domain | None) -> np.ndarray:
    """Observations and rewards, (steps, n, k + 1)."""
    simulation = Simulation(task, domain, num_envs=2, seed=1, threads=1)
    rng = np.random.default_rng(0)
    space = simulation.action_space
    actions = rng.uniform(space.low, space.high, (STEPS, 2, *space.shape)).astype(np.float32)
    rows = [np.column_stack([simulation.observation, np.zeros(2)])]
    for action in actions:
        transition = simulation.advance(action)
        rows.append(np.column_stack([transition.observation, transition.reward]))
    return np.stack(rows)


WITHOUT = {
    ("no_load_speed", "furuta"): "has no limit",
    ("no_load_speed", "quadrotor"): "moves no hinge or slide",
    ("load_friction", "quadrotor"): "moves no hinge or slide",
}
"""Kinds that actuators of a task cannot have: a dcmotor has its own limit, a thrust no joint."""
FORCES_SEEN = ("load_friction", "inverted_double_pendulum")
"""A kind that shows in the first observation, as the task observes forces of friction."""


@pytest.mark.parametrize(("kind", "task", "message"), [(*pair, WITHOUT[pair]) for pair in WITHOUT])
def test_what_an_actuator_cannot_have_is_refused(kind: str, task: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Simulation(task, Domain(actuation=[actuation(kind, task)]))  # type: ignore[list-item]


FAST = in_turn([*ACTUATION, *SENSING], task_names(), 3)
"""Each kind on a third of the tasks; the others are slow."""


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        slow_unless((kind, task) in FAST, kind, task)
        for kind in ACTUATION
        for task in task_names()
        if (kind, task) not in WITHOUT
    ],
)
def test_actuators_move_the_trajectory(kind: str, task: str) -> None:
    moved = trajectory(task, Domain(actuation=[actuation(kind, task)]))  # type: ignore[list-item]
    difference = np.abs(moved - nominal(task))
    assert np.isfinite(moved).all()
    assert (difference.max(axis=(0, 2)) > 1e-3).all()
    if (kind, task) != FORCES_SEEN:
        np.testing.assert_array_equal(moved[0], nominal(task)[0])  # an episode starts as ever


@pytest.mark.parametrize(
    ("kind", "task"),
    [slow_unless((kind, task) in FAST, kind, task) for kind in SENSING for task in task_names()],
)
def test_sensors_change_what_is_seen_and_nothing_else(kind: str, task: str) -> None:
    seen = trajectory(task, Domain(sensing=[sensing(kind, task)]))  # type: ignore[list-item]
    changed = np.abs(seen - nominal(task)).max(axis=(0, 1)) > 1e-3
    late = kind == "reward_delay"
    assert changed[-1] == late  # the reward is the truth's, unless it is late
    assert changed[:-1].any() != late


@pytest.mark.parametrize("task", task_names())
def test_the_last_action_is_commanded_and_has_no_noise(task: str) -> None:
    noise = {"noise": {"normal": [0.0, 1.0]}}
    simulation = Simulation(task, Domain(sensing=[noise]), num_envs=2)  # type: ignore[list-item]
    space = simulation.action_space
    action = np.linspace(0.2, 0.9, 2 * space.shape[0]).reshape(2, -1) * space.high
    simulation.advance(action)
    truth, seen = simulation.task.observe(simulation), simulation.observation
    commanded = {term.name for term in simulation.policy_terms if term.commanded}
    assert {name for name, values in truth.items() if np.array_equal(values, action)} <= commanded
    for term, last in zip(
        simulation.policy_terms, np.cumsum([t.size for t in simulation.policy_terms]), strict=True
    ):
        width = truth[term.name].shape[1]  # the newest of a history
        newest = seen[:, last - width : last]
        assert np.array_equal(newest, truth[term.name]) == term.commanded
