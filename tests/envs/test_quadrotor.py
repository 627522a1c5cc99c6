"""The quadrotor, against its published identification and what follows from it by hand."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.envs.quadrotor import HOVER, Quadrotor
from sim2real.simulation import Simulation

MASS, G = 0.028, 9.81  # kg, m/s²
INERTIA = np.array([16.571710e-6, 16.655602e-6, 29.261652e-6])  # kg m²
ARM = 0.046 / math.sqrt(2)  # m, of a motor along x and along y
TORQUE = 0.005964552  # m, torque about the axis of a rotor by its thrust
LAG = -0.002 / math.log(0.9695404)  # s, from the identified pole at 2 ms
FULL = 65535  # the largest command of the firmware


def thrust(command: float) -> float:
    """N, of a motor at a command of the firmware (Förster 2015)."""
    return 2.130295e-11 * command**2 + 1.032633e-6 * command + 5.484560e-4


def model(**options: float) -> mujoco.MjModel:
    compiled = Quadrotor().compile()
    for name, value in options.items():
        setattr(compiled.opt, name, value)
    return compiled


def flown(compiled: mujoco.MjModel, thrusts: list[float], seconds: float) -> mujoco.MjData:
    """The state after so long with the motors at these thrusts from the start, N."""
    data = mujoco.MjData(compiled)
    data.act[:] = data.ctrl[:] = thrusts
    for _ in range(round(seconds / compiled.opt.timestep)):
        mujoco.mj_step(compiled, data)
    return data


def test_mass_inertia_and_size_are_the_published_ones() -> None:
    compiled = model()
    assert compiled.body_subtreemass[0] == pytest.approx(MASS)
    np.testing.assert_allclose(compiled.body("drone").inertia, INERTIA)
    data = mujoco.MjData(compiled)
    mujoco.mj_forward(compiled, data)
    one, three = data.site("motor_1").xpos, data.site("motor_3").xpos
    assert np.linalg.norm(one - three) == pytest.approx(0.092, abs=1e-6)  # m, motor to motor


def test_the_motors_reach_the_published_thrust_and_no_more() -> None:
    compiled = model()
    np.testing.assert_allclose(compiled.actuator_ctrlrange[:, 1], thrust(FULL), rtol=2e-3)
    np.testing.assert_array_equal(compiled.actuator_ctrlrange[:, 0], 0.0)
    assert thrust(FULL) > 2 * HOVER  # what an action of 1 asks for is there
    assert 4 * thrust(FULL) / (MASS * G) == pytest.approx(2.33, abs=0.01)


def test_a_quarter_of_the_weight_from_each_motor_hovers() -> None:
    assert pytest.approx(MASS * G / 4) == HOVER
    data = flown(model(), [HOVER] * 4, 10.0)
    np.testing.assert_allclose(data.qpos, [0, 0, 1, 1, 0, 0, 0], atol=1e-9)


def test_it_falls_freely_without_air_and_thrust() -> None:
    compiled = model(viscosity=0.0)
    steps, dt = 100, compiled.opt.timestep
    data = flown(compiled, [0.0] * 4, steps * dt)
    assert data.qvel[2] == pytest.approx(-G * steps * dt)
    assert data.qpos[2] - 1 == pytest.approx(-G * dt**2 * steps * (steps + 1) / 2)


def test_thrust_that_is_too_much_accelerates_it_upwards() -> None:
    data = flown(model(viscosity=0.0), [1.5 * HOVER] * 4, 0.5)
    assert data.qvel[2] == pytest.approx(0.5 * G * 0.5)


def test_the_drag_is_the_identified_one_in_hover() -> None:
    """Coefficients of 9.1785e-7 and 10.311e-7 kg/rad, times the sum of the rotors' speeds."""
    command = np.roots([2.130295e-11, 1.032633e-6, 5.484560e-4 - HOVER]).max()
    speeds = 4 * (0.04076521 * command + 380.8359)  # rad/s
    compiled = model()
    data = mujoco.MjData(compiled)
    for axis, coefficient in ((0, 9.1785e-7), (1, 9.1785e-7), (2, 10.311e-7)):
        data.qvel[:] = 0
        data.qvel[axis] = 1.0
        mujoco.mj_forward(compiled, data)
        drag = -data.qfrc_passive[axis]
        assert drag == pytest.approx(coefficient * speeds, rel=0.08)
        assert abs(data.qfrc_passive[[i for i in range(3) if i != axis]]).max() < 1e-12


def test_a_motor_follows_a_step_by_the_first_order_law() -> None:
    compiled = model()
    data = mujoco.MjData(compiled)
    data.ctrl[:] = HOVER
    for step in range(1, 61):
        mujoco.mj_step(compiled, data)
        reached = HOVER * (1 - math.exp(-step * compiled.opt.timestep / LAG))
        np.testing.assert_allclose(data.act, reached, rtol=1e-3)


@pytest.mark.parametrize(
    ("motors", "axis", "expected"),
    [
        ((1, 2), 0, -2 * ARM / INERTIA[0]),  # those at the right roll it to the right
        ((3, 4), 0, 2 * ARM / INERTIA[0]),
        ((1, 4), 1, -2 * ARM / INERTIA[1]),  # those in front lift its nose
        ((2, 3), 1, 2 * ARM / INERTIA[1]),
        ((1, 3), 2, -2 * TORQUE / INERTIA[2]),  # these turn against the clock, and it with it
        ((2, 4), 2, 2 * TORQUE / INERTIA[2]),
    ],
)
def test_pairs_of_motors_turn_it(motors: tuple[int, int], axis: int, expected: float) -> None:
    """rad/s² for each newton of either motor."""
    compiled, more = model(), 0.01
    data = mujoco.MjData(compiled)
    for motor in motors:
        data.act[motor - 1] = more
    mujoco.mj_forward(compiled, data)
    assert data.qacc[3 + axis] == pytest.approx(expected * more, rel=1e-5)
    others = np.delete(data.qacc[3:], axis)
    np.testing.assert_allclose(others, 0.0, atol=1e-6)
    assert data.qacc[2] == pytest.approx(2 * more / MASS - G)


# -- the task --------------------------------------------------------------------------------------


def still(place: tuple[float, float, float], quat: tuple[float, ...]) -> Simulation:
    """A world that stands still there, with its goal at (1, 0, 1)."""
    simulation = Simulation("quadrotor", num_envs=1, threads=1)
    simulation.memory["goal"][:] = [1.0, 0.0, 1.0]
    simulation.write_state([[*place, *quat]], np.zeros((1, 6)))
    return simulation


def test_what_it_sees_is_in_its_own_frame() -> None:
    """Turned left by a right angle, a goal 1 m along the world's x lies 1 m to its right."""
    half = math.sqrt(0.5)
    simulation = still((0, 0, 1), (half, 0, 0, half))
    simulation.write_state(simulation.qpos.copy(), [[0, 0.5, 0.2, 0.1, 0.2, 0.3]])
    seen = simulation.observation[0]  # five values of each but the goal, the newest last
    np.testing.assert_allclose(seen[0:3], [0, -1, 0], atol=1e-9)
    np.testing.assert_allclose(seen[15:18], [0.5, 0, 0.2], atol=1e-9)
    np.testing.assert_allclose(seen[30:33], [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(seen[45:48], [0.1, 0.2, 0.3])
    rolled = still((0, 0, 1), (half, half, 0, 0))  # to the right: its left side is up
    np.testing.assert_allclose(rolled.observation[0, 30:33], [0, 1, 0], atol=1e-9)


def test_an_action_of_nothing_hovers_and_one_gives_twice_as_much() -> None:
    simulation = still((0, 0, 1), (1, 0, 0, 0))
    for action, expected in ((0.0, HOVER), (1.0, 2 * HOVER), (-1.0, 0.0)):
        simulation.advance(np.full((1, 4), action, dtype=np.float32))
        np.testing.assert_allclose(simulation.ctrl, expected)


@pytest.mark.parametrize("late", [{"delay": 0.03}, {"lag": 0.02}])
def test_before_its_first_command_arrives_it_hovers(late: dict[str, float]) -> None:
    """The motors were commanded to hover before the episode began, not to stand still."""
    domain = Domain.model_validate({"actuation": [late]})
    simulation = Simulation("quadrotor", domain, num_envs=3, threads=1)
    for _ in range(2):  # in the second episode, too
        simulation.advance(np.full((3, 4), 0.5))
        if "delay" in late:
            np.testing.assert_allclose(simulation.act[:2], HOVER)
        else:  # first order, from hover: 1 - e^(-0.01 / 0.02) of the way
            commanded = HOVER * (1 + 0.5 * (1 - math.exp(-0.5)))
            np.testing.assert_allclose(simulation.ctrl[:2], commanded)
        simulation.reset(np.arange(2))


def test_reward_failure_and_success_are_by_the_distance() -> None:
    at_goal = still((1, 0, 1), (1, 0, 0, 0))
    terms = at_goal.task.reward(at_goal, np.zeros((1, 4), dtype=np.float32))
    assert sum(term[0] for term in terms.values()) == pytest.approx(1.0)
    near, far = still((1, 0, 1.05), (1, 0, 0, 0)), still((1.3, 0, 1), (1, 0, 0, 0))
    task = near.task
    assert task.reward(far, np.zeros((1, 4)))["near"][0] == pytest.approx(0.5)
    assert [bool(task.succeeded(one)[0]) for one in (at_goal, near, far)] == [True, True, False]
    low, lost = still((1, 0, 0.04), (1, 0, 0, 0)), still((1, 4.1, 1), (1, 0, 0, 0))
    assert [bool(task.failed(one)[0]) for one in (at_goal, near, low, lost)] == [0, 0, 1, 1]


def test_upside_down_is_the_dearest_attitude() -> None:
    simulation = still((1, 0, 1), (0, 1, 0, 0))
    terms = simulation.task.reward(simulation, np.zeros((1, 4)))
    assert terms["lean"][0] == pytest.approx(-0.2)


def test_throws_are_as_hard_as_the_difficulty() -> None:
    simulation = Simulation("quadrotor", num_envs=256, seed=3, threads=1)
    up = simulation.xmat[:, 1].reshape(-1, 3, 3)[:, 2, 2]
    lean = np.arccos(np.clip(up, -1, 1))
    assert 1.1 < lean.max() <= 1.2
    np.testing.assert_allclose(np.linalg.norm(simulation.qpos[:, 3:], axis=1), 1.0)
    assert 0.9 < np.abs(simulation.qvel[:, :3]).max() <= 1.0
    assert 2.7 < np.abs(simulation.qvel[:, 3:]).max() <= 3.0
    np.testing.assert_allclose(simulation.act, HOVER)
    simulation.difficulty = 0.0
    simulation.reset()
    np.testing.assert_array_equal(simulation.qvel, 0.0)
    np.testing.assert_allclose(simulation.qpos[:, 4:6], 0.0, atol=1e-12)


def test_goals_are_drawn_twice_an_episode_within_the_room() -> None:
    simulation = Simulation("quadrotor", num_envs=64, threads=1)
    goals = []
    for _ in range(599):
        simulation.write_state(simulation.qpos * 0 + [0, 0, 1.5, 1, 0, 0, 0], np.zeros((64, 6)))
        simulation.advance(np.zeros((64, 4), dtype=np.float32))
        goals.append(simulation.memory["goal"].copy())
    assert len(np.unique(np.stack(goals)[:, 0], axis=0)) == 2
    everything = np.concatenate(goals)
    assert (everything >= [-1, -1, 1]).all()
    assert (everything <= [1, 1, 2]).all()


def test_the_motors_are_privileged() -> None:
    simulation = Simulation("quadrotor", num_envs=2, threads=1, privileged=True)
    names = [term.name for term in simulation.observation_terms if term.group == "privileged"]
    assert names[0] == "thrust"
    columns = len(simulation.policy_terms) and sum(term.size for term in simulation.policy_terms)
    np.testing.assert_allclose(simulation.observation[:, columns : columns + 4], 1.0)
