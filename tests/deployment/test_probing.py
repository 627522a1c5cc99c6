"""What is found by trying a task is what its code says."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from sim2real.deployment.probing import (
    TRIED,
    Reading,
    command_kinds,
    command_of,
    joint_kinds,
    joint_readings,
    moved_joints,
)
from sim2real.envs._arm import ArmTask
from sim2real.envs.quadruped import POSE
from sim2real.simulation import Simulation


def tried(task: Any, **options: Any) -> Simulation:
    return Simulation(task, num_envs=TRIED, threads=1, **options)


@pytest.mark.parametrize("actions", ["own", "normalized"])
@pytest.mark.parametrize("task", ["furuta", "quadrotor", "pusher"])
def test_commands_are_those_of_the_task(task: str, actions: Any) -> None:
    simulation = tried(task, actions=actions)
    found = command_of(simulation)
    assert found is not None
    assert found.term is None
    space = simulation.action_range
    given = np.random.default_rng(1).uniform(space.low, space.high, (TRIED, len(space.low)))
    expected = simulation.task.control(simulation, given)
    np.testing.assert_allclose(found.offset + found.scale * given, expected, rtol=1e-12)


def test_servos_that_are_moved_in_steps_step_from_their_last_target() -> None:
    found = command_of(tried("arm_reach"))
    assert found is not None
    assert found.term == "target"
    np.testing.assert_allclose(found.scale, 0.04 * 2.5, rtol=1e-9)  # s, rad/s
    np.testing.assert_allclose(found.high, [1.920, 1.745, 1.690, 1.658, 2.793], rtol=1e-12)
    np.testing.assert_array_equal(found.low, -found.high)


@pytest.mark.parametrize(
    ("task", "control"),
    [
        ("furuta", lambda task, world, action: 10.0 * action * np.abs(action)),
        ("furuta", lambda task, world, action: 10.0 * action - world.qpos[:, :1]),
        ("arm_reach", lambda task, world, action: 0.5 * ArmTask.control(task, world, action)),
        ("arm_reach", lambda task, world, action: world.memory["target"] * (1.0 + action)),
    ],
    ids=["squared", "of the state", "half of the target", "not in steps"],
)
def test_other_commands_are_not_described(
    task: str, control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = tried(task)
    monkeypatch.setattr(type(simulation.task), "control", control)
    assert command_of(simulation) is None


def test_the_joints_of_a_quadruped() -> None:
    found = joint_readings(tried("quadruped"))
    names = [one.joint for one in found["joint_positions"] if one]
    assert names == [one.joint for one in found["joint_velocities"] if one]
    assert names[:3] == ["FR_hip_joint", "FR_thigh_joint", "FR_calf_joint"]
    assert [one.offset for one in found["joint_positions"] if one] == (0.0 - POSE).tolist()
    assert {one.scale for one in found["joint_positions"] if one} == {1.0}
    for name in ("gyro", "gravity", "last_action", "command"):
        assert not any(found[name])


def test_what_is_clipped_counted_or_computed_belongs_to_no_joint() -> None:
    hopper = joint_readings(tried("hopper"))
    assert hopper["position"][2] == Reading("thigh_joint", "position", 1.0, 0.0)
    assert not any(hopper["velocity"])  # clipped to ±10
    assert not any(one for row in joint_readings(tried("furuta")).values() for one in row)
    assert not any(joint_readings(tried("cartpole"))["pole"])  # sine and cosine


def test_propellers_move_no_joint() -> None:
    assert moved_joints(Simulation("quadrotor", threads=1).model) == [None] * 4
    assert moved_joints(Simulation("cartpole", threads=1).model) == ["slider"]


KINDS = """<mujoco>
  <worldbody>
    <body><joint name="rail" type="slide"/><geom size="0.1" mass="1"/>
      <body><joint name="hinge"/><geom size="0.1" mass="1"/></body>
    </body>
  </worldbody>
  <actuator>
    <position joint="rail" kp="20"/>
    <velocity joint="hinge" kv="3"/>
    <motor joint="hinge"/>
    <motor joint="rail"/>
    <motor joint="hinge" gear="50"/>
    <position joint="hinge" kp="20" timeconst="0.1"/>
    <position joint="hinge" kp="20" gear="2"/>
  </actuator>
</mujoco>"""


def test_the_kind_and_unit_of_each_command() -> None:
    model = mujoco.MjModel.from_xml_string(KINDS)
    assert joint_kinds(model) == {"rail": "slide", "hinge": "hinge"}
    assert command_kinds(model) == [
        ("position", "m"),
        ("velocity", "rad/s"),
        ("force", "N m"),
        ("force", "N"),
        *3 * [("other", "")],
    ]


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("quadruped", ("position", "rad")),
        ("arm_reach", ("position", "rad")),
        ("hopper", ("other", "")),
    ],
)
def test_the_commands_of_shipped_tasks(task: str, kind: tuple[str, str]) -> None:
    assert set(command_kinds(tried(task).model)) == {kind}
