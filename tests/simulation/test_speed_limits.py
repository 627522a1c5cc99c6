"""Force limits that fall with the speed of a joint, against a plain loop of `mj_step`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.simulation import Simulation
from sim2real.task import Array, Task, World

SERVO = str(Path(__file__).parent.parent / "robots" / "servo.py")
XML = """<mujoco><option timestep="0.005"/><worldbody>
  <body><joint name="wheel" axis="0 0 1"/><geom size="0.1" mass="1"/></body>
  <body pos="1 0 0"><joint name="arm" axis="0 1 0"/><geom size="0.1" pos="0.2 0 0" mass="1"/></body>
</worldbody><actuator>
  <motor name="motor" joint="wheel" gear="-2" ctrlrange="-1 0.5"/>
  <position name="servo" joint="arm" kp="60" kv="1" ctrlrange="-2 2" forcerange="-6 4"/>
  <position name="unlimited" joint="arm" kp="5" ctrlrange="-2 2"/>
</actuator></mujoco>"""
SPEED = {"motor": 3.0, "servo": 2.0}


class Machine(Task):
    """A wheel on a motor and an arm on a servo."""

    control_dt, episode_s = 0.02, 4.0

    def spec(self, file: Any = None) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(XML)

    def observe(self, world: World) -> dict[str, Array]:
        return {"angles": world.qpos, "speeds": world.qvel}

    def reward(self, world: World, action: Any) -> dict[str, Array]:
        return {"none": np.zeros(world.num_envs)}


def limited(**sections: Any) -> Domain:
    entries = [{"no_load_speed": speed, "of": name} for name, speed in SPEED.items()]
    return Domain(actuation=[*entries, *sections.pop("actuation", [])], **sections)


def line(low: float, high: float, share: float) -> tuple[float, float]:
    """The torque-speed line of a motor that turns at a share of its no-load speed."""
    upper = high * max(0.0, min(1.0, 1.0 - share))
    lower = low * max(0.0, min(1.0, 1.0 + share))
    return lower, upper


def test_a_motor_and_a_servo_equal_a_plain_loop() -> None:
    simulation = Simulation(Machine(), limited(), num_envs=2, threads=1)
    model = Machine().compile()
    data = mujoco.MjData(model)
    model.actuator_forcelimited[0] = 1
    rng = np.random.default_rng(0)
    clipped = 0
    for _ in range(100):
        action = np.where(rng.random(3) < 0.9, [0.5, 2.0, 0.0], [-1.0, -2.0, 0.0])
        seen = simulation.advance(np.tile(action, (2, 1))).observation
        data.ctrl[:] = action
        for _ in range(4):
            wheel, arm = data.qvel
            model.actuator_forcerange[0] = line(-1.0, 0.5, -wheel / 3.0)  # the gear is negative
            model.actuator_forcerange[1] = line(-6.0, 4.0, arm / 2.0)
            mujoco.mj_step(model, data)
            clipped += data.actuator_force[0] in model.actuator_forcerange[0]
        np.testing.assert_array_equal(seen[1], [*data.qpos, *data.qvel])
    assert clipped > 50


def test_a_motor_reaches_its_no_load_speed_and_no_more() -> None:
    """Torque 0.5 * 2 at rest on I: w(t) = w0 (1 - exp(-t T / (I w0))), with T the stall torque."""
    simulation = Simulation(Machine(), limited(), threads=1)
    inertia = 0.4 * 1.0 * 0.1**2
    speeds = [simulation.advance([[0.5, 0.0, 0.0]]).observation[0, 2] for _ in range(20)]
    times = 0.02 * np.arange(1, 21)
    expected = -3.0 * (1 - (1 - 0.005 * 1.0 / (inertia * 3.0)) ** (times / 0.005))
    np.testing.assert_allclose(speeds, expected, rtol=1e-9)
    assert -3.0 <= min(speeds) < -2.99


def test_strength_and_torque_limits_scale_the_line() -> None:
    weak = {"strength": 0.5, "of": ["motor", "servo"]}
    limit = {"field": "torque_limit", "of": "unlimited", "set": 1.0}
    fast = {"no_load_speed": {"uniform": [5, 9]}, "of": "unlimited"}
    simulation = Simulation(Machine(), limited(actuation=[weak, fast], dynamics=[limit]), 3)
    simulation.write_state(simulation.qpos, np.tile([1.5, -1.0], (3, 1)))
    ranges = simulation.expanded("actuator_forcerange")
    drawn = np.array([context["no_load_speed:unlimited"] for context in simulation.contexts()])
    assert 5 <= drawn.min() < drawn.max() <= 9
    for world in range(3):
        np.testing.assert_allclose(ranges[world, 0], line(-0.5, 0.25, -0.5))
        np.testing.assert_allclose(ranges[world, 1], line(-3.0, 2.0, -0.5))
        np.testing.assert_allclose(ranges[world, 2], line(-1.0, 1.0, -1.0 / drawn[world]))


def test_worlds_and_snapshots() -> None:
    drawn = Domain(actuation=[{"no_load_speed": {"uniform": [1, 4]}, "of": ["motor", "servo"]}])
    few, many = (Simulation(Machine(), drawn, num_envs=n, seed=2, threads=1) for n in (2, 5))
    few.reset(episodes=[3, 4])
    rng = np.random.default_rng(0)
    for step in range(60):
        action = rng.uniform(-1, 1, (5, 3)) * [1.0, 2.0, 0.0]
        action[:, 0] = np.minimum(action[:, 0], 0.5)
        if step == 30:
            again = Simulation(Machine(), drawn, num_envs=5, threads=2)
            again.restore(many.snapshot())
            many = again
        ours, theirs = few.advance(action[3:]), many.advance(action)
        np.testing.assert_array_equal(ours.observation, theirs.observation[3:])


@pytest.mark.parametrize(
    ("task", "entry", "message"),
    [
        (Machine(), {"no_load_speed": 5.0}, "unlimited has no limit that could fall"),
        (Machine(), {"no_load_speed": 0.0}, "no_load_speed must be greater than 0"),
        (SERVO, {"no_load_speed": 5.0, "of": "wrist_servo"}, "wrist_servo has no limit"),
    ],
)
def test_what_has_no_line_is_refused(task: Any, entry: dict[str, Any], message: str) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        Simulation(task, Domain(actuation=[entry]))
