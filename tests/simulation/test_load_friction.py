"""Dry friction that grows with the load of a gearing, against a plain loop and closed forms."""

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

BALL = str(Path(__file__).parent.parent / "robots" / "ball.py")
MASS, LENGTH = 0.5, 0.1
WEIGHT = MASS * 9.81 * LENGTH
XML = f"""<mujoco><option timestep="0.005" gravity="0 0 -9.81"/><worldbody>
  <body><joint name="hinge" axis="0 1 0" armature="0.01" frictionloss="0.02"/>
    <geom type="sphere" size="0.01" pos="{LENGTH} 0 0" mass="{MASS}"/></body>
</worldbody><actuator><motor name="drive" joint="hinge" ctrlrange="-2 2"/></actuator></mujoco>"""


class Pendulum(Task):
    """A horizontal rod with a point mass at its end, on a motor."""

    control_dt, episode_s = 0.01, 4.0

    def spec(self, file: Any = None) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(XML)

    def observe(self, world: World) -> dict[str, Array]:
        return {"angle": world.qpos, "speed": world.qvel}

    def reward(self, world: World, action: Any) -> dict[str, Array]:
        return {"none": np.zeros(world.num_envs)}


def pendulum(factor: Any, num_envs: int = 1, **sections: Any) -> Simulation:
    domain = Domain(actuation=[{"load_friction": factor}], **sections)  # type: ignore[list-item]
    return Simulation(Pendulum(), domain, num_envs, threads=1)


@pytest.mark.parametrize(("torque", "moves"), [(1.3, False), (1.5, True)])
def test_a_loaded_gearing_holds_what_its_friction_bears(torque: float, moves: bool) -> None:
    """At rest it bears |u - W| up to 0.02 + 0.2 (u + W); that is equal at u = 1.54 W."""
    simulation = pendulum(0.2)
    simulation.qpos[:] = simulation.qvel[:] = 0.0
    # the weight turns it down, a positive angle: the motor lifts with a negative torque
    torque *= WEIGHT * 1.1
    held = torque - WEIGHT < 0.02 + 0.2 * (torque + WEIGHT)
    assert held is not moves
    for _ in range(20):
        simulation.advance(np.array([[-torque]]))
    assert bool(abs(simulation.qpos[0, 0]) > 0.02) is moves


def test_it_equals_a_plain_loop() -> None:
    """Friction of 0.3 |motor + bias / 2|, and of 0.4 motor^2 on top of it."""
    square = {"load_friction": 0.4, "options": {"back": 0.0, "power": 2.0}, "name": "square"}
    linear = {"load_friction": 0.3, "options": {"back": 0.5}}
    domain = Domain(actuation=[linear, square])  # type: ignore[list-item]
    simulation = Simulation(Pendulum(), domain, 2, threads=1)
    model = Pendulum().compile()
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = simulation.qpos[1], simulation.qvel[1]
    mujoco.mj_forward(model, data)
    for step in range(100):
        torque = 1.2 * np.sin(0.2 * step)
        simulation.advance(np.full((2, 1), torque))
        data.ctrl[:] = torque
        for _ in range(2):
            load = abs(data.qfrc_actuator[0] + 0.5 * data.qfrc_bias[0])
            square = data.qfrc_actuator[0] ** 2
            model.dof_frictionloss[0] = 0.02 + 0.3 * load + 0.4 * square
            mujoco.mj_step(model, data)
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        np.testing.assert_allclose(simulation.qpos[1], data.qpos, atol=1e-9)
    assert abs(data.qpos[0]) > 0.1


def test_it_is_drawn_for_each_world_and_adds_to_what_the_domain_gives() -> None:
    friction = {"field": "dof_frictionloss", "set": {"uniform": [0.1, 0.2]}}
    simulation = pendulum({"uniform": [0.1, 0.4]}, num_envs=5, dynamics=[friction])
    contexts = simulation.contexts()
    assert len({context["load_friction:drive"] for context in contexts}) == 5
    for _ in range(3):
        simulation.advance(np.full((5, 1), 1.0))
    for world, context in enumerate(contexts):
        now = simulation.world_model(world).dof_frictionloss[0]
        assert now > context["dof_frictionloss:hinge"] + 0.5 * context["load_friction:drive"]


def test_a_joint_without_a_load_is_refused() -> None:
    with pytest.raises(UserError, match="moves no hinge or slide, so it has no load"):
        Simulation(BALL, Domain(actuation=[{"load_friction": 0.1}]))  # type: ignore[list-item]


def test_a_power_that_is_not_positive_is_refused() -> None:
    entry = {"load_friction": 0.1, "options": {"power": 0.0}}
    with pytest.raises(UserError, match="power is 0; allowed: more than 0"):
        Simulation(Pendulum(), Domain(actuation=[entry]))  # type: ignore[list-item]
