"""The furuta's model against closed forms of its data sheet, and its task."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.registry import load_task
from sim2real.simulation import Simulation

RESISTANCE, CONSTANT = 8.4, 0.042  # Ohm, N m/A
ARM, ARM_LENGTH = 0.095, 0.085  # kg, m
PENDULUM, LENGTH = 0.024, 0.129  # kg, m
HUB = 4.0e-6 + 0.6e-6  # kg m^2, rotor and hub
ARM_INERTIA = ARM * ARM_LENGTH**2 / 12 + HUB


def model() -> mujoco.MjModel:
    """The model without friction and cable, with time steps of 0.1 ms."""
    changed = load_task("furuta").compile()
    changed.opt.timestep = 1e-4
    changed.dof_frictionloss[:] = changed.jnt_stiffness[:] = 0.0
    return changed


def test_masses_and_inertias_are_those_of_the_data_sheet() -> None:
    compiled = load_task("furuta").compile()
    assert compiled.body_mass.sum() == pytest.approx(ARM + PENDULUM)
    data = mujoco.MjData(compiled)  # upright: the pendulum turns with the arm about the motor
    mujoco.mj_forward(compiled, data)
    full = np.zeros((2, 2))
    mujoco.mj_fullM(compiled, data, full)
    about_hinge = PENDULUM * LENGTH**2 / 3
    assert full[1, 1] == pytest.approx(about_hinge, rel=1e-3)
    assert full[0, 0] == pytest.approx(ARM_INERTIA + PENDULUM * ARM_LENGTH**2, rel=3e-3)
    assert abs(full[0, 1]) == pytest.approx(PENDULUM * ARM_LENGTH * LENGTH / 2, rel=1e-3)


def test_the_motor_gives_its_nominal_torque_at_its_nominal_speed() -> None:
    """The data sheet's 22 mN m at 18 V and 3050 turns a minute: K (V - K w) / R."""
    compiled = load_task("furuta").compile()
    compiled.actuator_ctrlrange[:] = (-18.0, 18.0)
    data = mujoco.MjData(compiled)
    data.ctrl[0], data.qvel[0] = 18.0, 3050 * 2 * np.pi / 60
    mujoco.mj_forward(compiled, data)
    assert data.actuator_force[0] == pytest.approx(0.022, rel=0.05)
    data.qvel[0] = 0.0
    mujoco.mj_forward(compiled, data)
    assert data.actuator_force[0] == pytest.approx(CONSTANT * 18.0 / RESISTANCE)


def test_a_step_of_voltage_turns_the_arm_by_the_motor_equation() -> None:
    """J w' = K (V - K w) / R - D w, without a pendulum: an exponential approach."""
    compiled = model()
    compiled.body_mass[2], compiled.body_inertia[2] = 1e-12, 1e-15
    mujoco.mj_setConst(compiled, mujoco.MjData(compiled))
    data = mujoco.MjData(compiled)
    voltage, damping = 3.0, 5e-6
    slope = CONSTANT**2 / RESISTANCE + damping
    final, time = CONSTANT * voltage / RESISTANCE / slope, ARM_INERTIA / slope
    data.ctrl[0] = voltage
    for step in range(1, 8001):
        mujoco.mj_step(compiled, data)
        if step % 1000 == 0:
            expected = final * (1 - np.exp(-data.time / time))
            assert data.qvel[0] == pytest.approx(expected, rel=2e-3)
    assert data.time > 2 * time


def test_the_hanging_pendulum_swings_at_its_natural_frequency() -> None:
    """w^2 = 3 g / 2 L for a rod on a hinge that stands still."""
    compiled = model()
    compiled.dof_armature[0] = 1e6  # holds the arm
    data = mujoco.MjData(compiled)
    data.qpos[1] = np.pi + 0.02
    crossings = []
    while len(crossings) < 9:
        before = data.qpos[1] - np.pi
        mujoco.mj_step(compiled, data)
        if before < 0 <= data.qpos[1] - np.pi:
            crossings.append(data.time)
    period = np.diff(crossings).mean()
    assert 2 * np.pi / period == pytest.approx(np.sqrt(1.5 * 9.81 / LENGTH), rel=2e-3)


def test_the_friction_holds_the_arm_below_a_tenth_of_a_volt() -> None:
    compiled = load_task("furuta").compile()
    compiled.jnt_stiffness[:] = 0.0
    moved = []
    for voltage in (0.08, 0.3):
        data = mujoco.MjData(compiled)
        data.qpos[1] = np.pi
        data.ctrl[0] = voltage
        mujoco.mj_step(compiled, data, 50)
        moved.append(abs(data.qpos[0]))
    assert moved[0] < 1e-3
    assert moved[1] > 5e-3


def test_the_cable_pulls_the_arm_back() -> None:
    compiled = load_task("furuta").compile()
    data = mujoco.MjData(compiled)
    data.qpos[0] = 2.0
    mujoco.mj_forward(compiled, data)
    assert data.qfrc_spring[0] == pytest.approx(-0.004)


def test_encoders_count_and_velocities_are_their_differences() -> None:
    simulation = Simulation("furuta", num_envs=3, threads=1)
    count = 2 * np.pi / 2048
    before = np.rint(simulation.qpos / count)
    assert (simulation.observation[:, 3:5] == 0).all()
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 3, 1)):
        seen = simulation.advance(action).observation
        counts = np.rint(simulation.qpos / count)
        np.testing.assert_allclose(seen[:, 0], counts[:, 0] * count, rtol=1e-12)
        np.testing.assert_allclose(seen[:, 3:5], (counts - before) * count / 0.02, atol=1e-9)
        np.testing.assert_array_equal(seen[:, 5:], action)
        before = counts


def test_success_is_a_second_of_balance_at_the_end() -> None:
    simulation = Simulation("furuta", num_envs=2, threads=1)
    for _ in range(55):
        simulation.write_state([[0.0, 0.0]], [[0.0, 0.0]], [0])
        simulation.advance(np.zeros((2, 1)))
    assert simulation.task.succeeded(simulation).tolist() == [True, False]
    simulation.write_state([[0.0, np.pi]], [[0.0, 0.0]], [0])
    simulation.advance(np.zeros((2, 1)))
    assert not simulation.task.succeeded(simulation).any()


def test_a_weaker_motor_has_more_resistance() -> None:
    weak = Simulation("furuta", Domain(actuation=({"strength": 0.5},)), threads=1)  # type: ignore[arg-type]
    assert weak.world_model(0).actuator_gainprm[0, 0] == pytest.approx(2 * RESISTANCE)


def test_a_written_state_shows_no_velocity() -> None:
    """A difference between two readings needs two; the state before the written one is none."""
    simulation = Simulation("furuta", num_envs=2, threads=1)
    simulation.advance(np.ones((2, 1)))
    seen = simulation.write_state(simulation.qpos + 0.3, simulation.qvel)
    assert (seen[:, 3:5] == 0.0).all()
