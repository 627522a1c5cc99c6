"""The desk arm against its data sheets, and against kinematics worked out from its lengths."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from sim2real.envs._arm import HIGH, LOW, SPEED
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

TASKS = ("arm_reach", "arm_push")


def turned(angle: np.ndarray, ahead: float, up: float) -> tuple[np.ndarray, np.ndarray]:
    """(ahead, up) after a turn about the axis to the left: a positive angle tips it forward."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return ahead * cosine + up * sine, up * cosine - ahead * sine


def tip(q: np.ndarray) -> np.ndarray:
    """Where the tip is by lengths alone, (n, 5) -> (n, 3): a plane chain on a turning column.

    The tip is 0.1592 m ahead of the wrist and 7.9 mm off the axis of its roll, which lifts it by
    -7.9 mm cos(roll) in the plane and moves it by 7.9 mm sin(roll) out of it.
    """
    pan, lift, elbow, flex, roll = q.T
    parts = (
        turned(lift, 0.0280, 0.11257),
        turned(lift + elbow, 0.1349, 0.0052),
        turned(lift + elbow + flex, 0.0611 + 0.0981, -0.0079 * np.cos(roll)),
    )
    ahead = 0.0304 + sum(part[0] for part in parts)
    up = 0.0624 + 0.0542 + sum(part[1] for part in parts)
    aside = -0.0079 * np.sin(roll)
    x = 0.03884 + ahead * np.cos(pan) + aside * np.sin(pan)
    y = -ahead * np.sin(pan) + aside * np.cos(pan)
    return np.stack([x, y, up], axis=1)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load_task("arm_reach").compile()


def test_the_tip_is_where_the_lengths_say(model: mujoco.MjModel) -> None:
    angles = np.random.default_rng(0).uniform(LOW, HIGH, (200, 5))
    data = mujoco.MjData(model)
    for q, expected in zip(angles, tip(angles), strict=True):
        data.qpos[:5] = q
        mujoco.mj_kinematics(model, data)
        np.testing.assert_allclose(data.site("tip").xpos, expected, atol=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_masses_ranges_and_servos_are_those_of_the_data_sheets(task: str) -> None:
    model = load_task(task).compile()
    masses = {model.body(i).name: model.body_mass[i] for i in range(1, model.nbody)}
    pucks = [masses.pop(name) for name in list(masses) if name == "puck"]
    expected = {"arm_push": [1150 * np.pi * 0.03**2 * 0.03], "arm_reach": []}[task]
    assert pucks == pytest.approx(expected, rel=0.01)
    assert sum(masses.values()) == pytest.approx(0.632, abs=1e-3)  # kg, of the builders' model
    np.testing.assert_array_equal(model.jnt_range[:5], np.stack([LOW, HIGH], axis=1))
    np.testing.assert_array_equal(model.actuator_ctrlrange, model.jnt_range[:5])
    stall = 30 * 0.01 * 9.81  # kg cm
    np.testing.assert_allclose(model.actuator_forcerange, [[-stall, stall]] * 5, rtol=2e-3)


def test_a_servo_turns_as_fast_as_its_data_sheet_says(model: mujoco.MjModel) -> None:
    """45 rpm without load; the roll of the wrist carries next to nothing."""
    data = mujoco.MjData(model)
    data.qpos[4] = LOW[4]
    data.ctrl[:] = data.qpos[:5]
    data.ctrl[4] = HIGH[4]
    fastest = 0.0
    for _ in range(250):
        mujoco.mj_step(model, data)
        fastest = max(fastest, data.qvel[4])
    assert fastest == pytest.approx(45 * 2 * np.pi / 60, rel=0.05)
    assert data.qpos[4] == pytest.approx(HIGH[4], abs=0.01)


@pytest.mark.parametrize("task", TASKS)
def test_it_stands_without_drift(task: str) -> None:
    """Under its own weight each joint sags by less than its load over its stiffness, and stays."""
    simulation = Simulation(task, num_envs=4, threads=1)
    home = simulation.task.home  # type: ignore[attr-defined]
    load = np.abs(simulation.qfrc_bias[:, :5]).max(axis=0)
    nothing = np.zeros((4, 5))
    for _ in range(50):
        simulation.advance(nothing)
    sag = np.abs(simulation.qpos[:, :5] - simulation.memory["target"])
    assert (sag <= (load + 0.052 + 0.05) / 17.8).all()
    assert np.abs(simulation.memory["target"] - home).max() <= 0.25
    before = simulation.qpos.copy()
    for _ in range(75):
        simulation.advance(nothing)
    np.testing.assert_allclose(simulation.qpos, before, atol=2e-3)  # dry friction creeps


def test_an_action_moves_the_targets_by_a_step() -> None:
    simulation = Simulation("arm_reach", num_envs=2, threads=1)
    before = simulation.memory["target"].copy()
    simulation.advance([[1.0, -1.0, 0.5, 0.0, 1.0]] * 2)
    step = 0.04 * SPEED * np.array([1.0, -1.0, 0.5, 0.0, 1.0])
    np.testing.assert_allclose(simulation.memory["target"], before + step)
    for _ in range(100):
        simulation.advance(np.ones((2, 5)))
    np.testing.assert_array_equal(simulation.memory["target"], [HIGH, HIGH])


def goals(task: str) -> tuple[Simulation, np.ndarray]:
    simulation = Simulation(task, num_envs=100, threads=1)
    return simulation, simulation.memory["goal"].copy()


def test_every_point_to_reach_can_be_reached() -> None:
    """Some posture clear of the limits and of the table has its tip within a centimetre."""
    _, drawn = goals("arm_reach")
    rng = np.random.default_rng(0)
    q = rng.uniform(0.97 * LOW, 0.97 * HIGH, (400_000, 5))
    q[:, [0, 4]] = 0.0  # the first joint turns the plane, the last does next to nothing
    places = tip(q)
    places = places[(places[:, 2] > 0.01) & (places[:, 0] > 0.05)]
    flat = np.stack([np.hypot(drawn[:, 0] - 0.03884, drawn[:, 1]) + 0.03884, drawn[:, 2]], axis=1)
    nearest = [np.hypot(*(places[:, [0, 2]] - one).T).min() for one in flat]
    assert max(nearest) < 0.01


def test_the_goal_is_drawn_anew_within_an_episode() -> None:
    simulation, first = goals("arm_reach")
    nothing = np.zeros((100, 5))
    for _ in range(75):
        assert (simulation.memory["goal"] == first).all()
        simulation.advance(nothing)
    assert (simulation.memory["goal"] != first).any(axis=1).all()
    np.testing.assert_array_equal(simulation.mocap_pos[:, 0], simulation.memory["goal"])


def test_success_is_a_tip_at_its_goal() -> None:
    simulation = Simulation("arm_reach", num_envs=2, threads=1)
    place = simulation.site("tip").xpos.copy()
    place[:, 0] += [0.019, 0.021]
    simulation.memory["goal"][:] = place
    assert simulation.task.succeeded(simulation).tolist() == [True, False]


def test_a_puck_slides_as_far_as_its_friction_lets_it() -> None:
    """v² / (2 mu g), and no further."""
    model = load_task("arm_push").compile()
    data = mujoco.MjData(model)
    data.qpos[:5] = data.ctrl[:5] = [0.0, -1.0, 0.5, 0.0, 0.0]  # out of the way
    for angle in (0.0, 0.5):
        data.qpos[5:12] = [0.3, 0.0, 0.015, 1.0, 0.0, 0.0, 0.0]
        data.qvel[5:] = [0.5 * np.cos(angle), 0.5 * np.sin(angle), 0.0, 0.0, 0.0, 0.0]
        for _ in range(125):
            mujoco.mj_step(model, data)
        slid = np.hypot(data.qpos[5] - 0.3, data.qpos[6])
        assert slid == pytest.approx(0.5**2 / (2 * 0.4 * 9.81), rel=0.06)
        assert np.arctan2(data.qpos[6], data.qpos[5] - 0.3) == pytest.approx(angle, abs=0.02)


def test_pucks_and_goals_lie_on_the_table_where_the_arm_can_push() -> None:
    simulation, drawn = goals("arm_push")
    puck = simulation.qpos[:, 5:7]
    apart = np.linalg.norm(drawn[:, :2] - puck, axis=1)
    assert 0.08 <= apart.min() < apart.max() <= 0.15
    assert not simulation.task.succeeded(simulation).any()
    reach = np.linalg.norm(drawn[:, :2] - [0.03884, 0.0], axis=1)
    assert 0.2 <= reach.min() < reach.max() < 0.38
    assert (np.linalg.norm(puck - simulation.site("tip").xpos[:, :2], axis=1) > 0.042).all()


@pytest.mark.parametrize("task", TASKS)
def test_a_goal_that_is_asked_for_is_the_goal(task: str) -> None:
    place = [0.3, 0.05, 0.1 if task == "arm_reach" else 0.0]
    simulation = Simulation(load_task(task, goal=place), num_envs=3, threads=1)
    np.testing.assert_array_equal(simulation.memory["goal"], [place] * 3)


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ([0.5, 0.0, 0.1], "distance of the goal .* is 0.46.*; allowed: one number, 0.16 to 0.34"),
        ([-0.2, 0.0, 0.1], "azimuth of the goal, rad, is 3.14"),
        ([0.3, 0.0, -0.1], "height of the goal, m, is -0.1"),
        ([0.3, 0.0], "goal is .*; allowed: 3 numbers"),
        ([0.3, 0.0, np.nan], "goal is .*; allowed: 3 numbers"),
    ],
)
def test_a_goal_out_of_reach_is_refused(goal: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_task("arm_reach", goal=goal)
