"""Furuta: a rotary inverted pendulum of the Quanser QUBE-Servo 2 class swings up and balances.

The model, with the source of each number, stands beside it in furuta.xml.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, BoolArray, IntArray, Rng, Task, World

VOLTAGE = 10.0
"""V: the recommended output range of the amplifier (QUBE-Servo 2 user manual)."""
COUNT = 2 * np.pi / 2048
"""rad: resolution of both encoders, 512 lines in quadrature (QUBE-Servo 2 user manual)."""
REACH = 2.0
"""rad: how far the cable lets the arm turn to either side."""
UPRIGHT = 0.2
"""rad: the pendulum balances within this angle."""
HOLD_S = 1.0
"""s: how long it must have balanced at the end of an episode that is a success."""


class Furuta(Task):
    """A motor turns an arm of 85 mm that carries a pendulum of 129 mm: swing it up and balance it.

    | action | motor at | range | voltage at 1 |
    |--------|----------|-------|--------------|
    | 0      | arm      | ±1    | 10 V         |

    | index | term        | observed                                             | unit  |
    |-------|-------------|------------------------------------------------------|-------|
    | 0     | arm         | its encoder                                          | rad   |
    | 1-2   | pendulum    | cosine, sine of its encoder's angle from up          |       |
    | 3-4   | velocity    | arm, pendulum: differences of the encoders in a step | rad/s |
    | 5     | last_action | the last command                                     |       |

    Both encoders have 2048 counts a turn, so that the velocities come in steps of 0.15 rad/s.
    Privileged are the true velocities, and the torque of the motor.

    Reward: up to 1 the higher the pendulum stands, as much again for standing still there, a little
    for an arm in the middle; minus a little for effort and changes of the voltage. It fails 2 rad
    off the middle, where the cable ends. Success: the pendulum was within 0.2 rad of upright for
    the last second.
    """

    control_dt, episode_s = 0.02, 6.0  # s
    action_limits = (-1.0, 1.0)
    memory: ClassVar = {"balanced_s": 1}
    commanded = ("last_action",)
    remembers = ("qpos",)
    units: ClassVar = {
        "arm": "rad",
        "velocity": "rad/s",
        "true_velocity": "rad/s",
        "torque": "N m",
    }
    camera: ClassVar = {"distance": 0.55, "elevation": -15.0, "azimuth": 130.0}

    def control(self, world: World, action: NDArray[Any]) -> NDArray[Any]:
        return VOLTAGE * action

    def observe(self, world: World) -> dict[str, Array]:
        angles = self.counted(world.qpos, COUNT)
        before = self.counted(world.previous["qpos"], COUNT)
        moved = np.where(world.steps[:, None] > 0, angles - before, 0.0)
        return {
            "arm": angles[:, :1],
            "pendulum": np.hstack([np.cos(angles[:, 1:]), np.sin(angles[:, 1:])]),
            "velocity": moved / world.step_s[:, None],
            "last_action": world.last_action,
        }

    def privileged(self, world: World) -> dict[str, Array]:
        return {"true_velocity": world.qvel, "torque": world.qfrc_actuator[:, :1]}

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        height = (1 + np.cos(world.qpos[:, 1])) / 2
        balances = np.abs(_from_up(world.qpos[:, 1])) < UPRIGHT
        balanced = world.memory["balanced_s"]
        balanced[:, 0] = np.where(balances, balanced[:, 0] + world.step_s, 0.0)
        still = np.exp(-((world.qvel / 5.0) ** 2).sum(axis=1))
        return {
            "upright": height,
            "still": height**8 * still,
            "middle": 0.2 * (1 - (world.qpos[:, 0] / REACH) ** 2),
            "effort": -0.02 * action[:, 0] ** 2,
            "change": -0.02 * (action - world.last_action)[:, 0] ** 2,
        }

    def failed(self, world: World) -> BoolArray:
        return np.abs(world.qpos[:, 0]) > REACH

    def succeeded(self, world: World) -> BoolArray:
        return world.memory["balanced_s"][:, 0] > HOLD_S - self.control_dt / 2

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        """The pendulum hangs; with less than full difficulty it starts closer to upright."""
        n = len(ids)
        world.qpos[ids, 0] = rng.uniform(-0.1, 0.1, (n,))
        world.qpos[ids, 1] = world.difficulty * np.pi + rng.uniform(-0.1, 0.1, (n,))
        world.qvel[ids] = rng.uniform(-0.1, 0.1, (n, 2))


def _from_up(angle: Array) -> Array:
    """An angle in [-pi, pi)."""
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi
