"""Every kind of disturbance on every task to which it applies."""

from __future__ import annotations

import functools
from typing import Any

import mujoco
import numpy as np
import pytest
from conformance_cases import slow_unless

from sim2real.domains import Domain
from sim2real.domains.entries.kinds import DISTURBANCES
from sim2real.domains.entries.stage import Load
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation

STANDING = ("ant", "half_cheetah", "hopper", "humanoid", "quadruped", "walker2d")
HELD = {"furuta": "pendulum"}
"""Bodies that are pushed instead of the first one, which turns about its centre of mass there."""
SPECIAL: dict[str, dict[str, Any]] = {
    "push": {"push": 1.0, "every": {"uniform": [0.1, 0.2]}},
    "force": {"force": 1.0, "direction": "x"},
    "twist": {"twist": 0.5, "every": {"uniform": [0.1, 0.2]}},
    "torque": {"torque": 0.5, "direction": "y"},
    "slope": {"slope": 0.1},
    "bumps": {"bumps": {"uniform": [0.02, 0.05]}},
}


def entry(kind: str) -> dict[str, Any]:
    """An entry of a kind: one of the table, or a load on a body or a joint."""
    if kind in SPECIAL:
        return SPECIAL[kind]
    load = DISTURBANCES[kind]
    assert issubclass(load, Load)
    magnitude = float(np.clip(5.0, load.low, load.high))
    return {kind: magnitude, **({"direction": "x"} if load.acts_on == "body" else {})}


def on_joints(kind: str) -> bool:
    load = DISTURBANCES[kind]
    return issubclass(load, Load) and load.acts_on == "joint"


def applies(kind: str, task: str) -> bool:
    if kind == "bumps":
        return task in STANDING
    return kind != "slope" or bool(load_task(task).compile().opt.gravity.any())


EACH = [(kind, task) for kind in DISTURBANCES for task in task_names() if applies(kind, task)]
FAST = ("cartpole", "hopper", "quadruped", "arm_push")
"""A rail, a body in a plane, one that walks, and an arm; the other tasks are slow."""
PAIRS = [slow_unless(task in FAST, kind, task) for kind, task in EACH]
LASTING = [
    slow_unless(task in FAST, kind, task) for kind, task in EACH if kind not in ("push", "twist")
]
"""Drawn once an episode; for those that are drawn within it see the tests of the simulation."""


@functools.cache
def nominal(task: str) -> np.ndarray:
    return trajectory(task, None)


def trajectory(task: str, domain: Domain | None) -> np.ndarray:
    simulation = Simulation(task, domain, num_envs=3, seed=1, threads=1)
    rng = np.random.default_rng(0)
    space = simulation.action_space
    actions = rng.uniform(space.low, space.high, (40, 3, *space.shape))
    return np.stack([simulation.advance(action).observation for action in actions])


def turning(task: str) -> dict[str, str]:
    """The first body that turns about an axis of the world, and that axis."""
    model = load_task(task).compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    turns = np.flatnonzero(model.jnt_type != int(mujoco.mjtJoint.mjJNT_SLIDE))[0]
    axis = "xyz"[int(np.abs(data.xaxis[turns]).argmax())]
    return {"of": model.body(model.jnt_bodyid[turns]).name, "direction": axis}


def one(kind: str, task: str, **changes: Any) -> Domain:
    model = load_task(task).compile()
    if kind in ("twist", "torque"):
        changes = turning(task) | changes
    moving = model.body(int(np.flatnonzero(model.body_weldid)[0])).name
    of = {} if kind in ("slope", "bumps") else {"of": HELD.get(task, moving)}
    if on_joints(kind):
        of = {"of": model.joint(0).name}
    return Domain(disturbances=[{**entry(kind), **of, **changes}])  # type: ignore[list-item]


@pytest.mark.parametrize(("kind", "task"), PAIRS)
def test_it_moves_the_trajectory(kind: str, task: str) -> None:
    moved = trajectory(task, one(kind, task))
    assert np.isfinite(moved).all()
    difference = np.abs(moved - nominal(task)).max(axis=(0, 2))
    assert (difference > 1e-3).all()


@pytest.mark.parametrize(("kind", "task"), PAIRS)
def test_nothing_of_it_changes_no_bit(kind: str, task: str) -> None:
    nothing = trajectory(task, one(kind, task, **{kind: 0.0}))
    np.testing.assert_array_equal(nothing, nominal(task))


@pytest.mark.parametrize(("kind", "task"), LASTING)
def test_a_thousand_draws_stay_in_range(kind: str, task: str) -> None:
    low, high = 0.5 * 0.05, 0.05
    changes = {kind: {"uniform": [low, high]}}
    simulation = Simulation(task, one(kind, task, **changes), num_envs=50, threads=1)
    for _ in range(20):
        drawn = simulation.context[:, 0]
        assert low <= drawn.min() <= drawn.max() <= high
        simulation.reset()
