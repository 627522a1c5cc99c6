"""Quadrotor: a Crazyflie flies to a point and stays there, after it was thrown into the air."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, BoolArray, IntArray, Mirror, Rng, Task, World

HOVER = 0.028 * 9.81 / 4  # N, a motor's thrust that carries a quarter of the weight
CLOSE = 0.1  # m, a goal is reached within this
LOST = 4.0  # m, the distance at which one gives up
CRASHED = 0.05  # m, the height at which a rotor touches the floor
ROOM = (np.array([-1.0, -1.0, 1.0]), np.array([1.0, 1.0, 2.0]))  # m, corners of where goals lie
THROWN = (2.0, 3.0)  # m, heights at which it is let go
TILT, SPEED, SPIN = 1.2, 1.0, 3.0  # rad, m/s, rad/s: the hardest throw


class Quadrotor(Task):
    """A quadrotor of 28 g with four motors that take their time flies to drawn points.

    An action of -1 is no thrust, 0 a quarter of the nominal weight, 1 twice that; the thrust
    follows it with a time constant of 0.065 s (quadrotor.xml, which also has the sources).

    | action | motor            | range | thrust at 1 |
    |--------|------------------|-------|-------------|
    | 0      | 1, front right   | ±1    | 0.137 N     |
    | 1      | 2, rear right    | ±1    | 0.137 N     |
    | 2      | 3, rear left     | ±1    | 0.137 N     |
    | 3      | 4, front left    | ±1    | 0.137 N     |

    All vectors are given in the body's frame (x forward, y left, z up), as its own sensors and a
    positioning system give them; the heading is the robot's own affair.

    | index | term     | observed                              | unit  |
    |-------|----------|---------------------------------------|-------|
    | 0-2   | goal     | from the robot to the goal            | m     |
    | 3-17  | velocity | of the robot                          | m/s   |
    | 18-32 | up       | the direction that is up in the world |       |
    | 33-47 | gyro     | angular velocity                      | rad/s |
    | 48-67 | action   | the action before                     |       |

    Of all but the goal the last five are shown, oldest first: the response to the
    motors shows the payload, the strength of each motor, and the delay of the commands.

    Privileged: `thrust`, the thrust of the motors, which lags the command, in units of hover.

    An episode begins with a throw at 2 to 3 m: leaning up to 1.2 rad, moving at up to 1 m/s
    and turning at up to 3 rad/s along each axis, all in proportion to `world.difficulty`. A new
    goal in a room of 2 x 2 x 1 m is drawn every 3 s. Reward: 1 at the goal, half of it 0.3 m away,
    minus a little for leaning, turning, effort and changes of the action. It fails at the floor and
    4 m from the goal; it succeeds within 0.1 m of the goal.
    """

    control_dt, episode_s = 0.01, 6.0  # s
    redraw_s = 3.0  # s
    action_limits = (-1.0, 1.0)
    memory: ClassVar = {"goal": 3}
    commanded = ("action",)
    mirror = Mirror(  # left and right
        action="3 2 1 0",
        terms={
            "goal": "0 -1 2",
            "velocity": "0 -1 2",
            "up": "0 -1 2",
            "gyro": "-0 1 -2",
            "action": "3 2 1 0",
            "thrust": "3 2 1 0",
        },
    )
    history: ClassVar = {"velocity": 5, "up": 5, "gyro": 5, "action": 5}
    units: ClassVar = {"goal": "m", "velocity": "m/s", "gyro": "rad/s"}
    frames: ClassVar = {"goal": "body", "velocity": "body", "up": "body", "gyro": "body"}
    camera: ClassVar = {"trackbodyid": 1, "distance": 0.8, "elevation": -20.0, "azimuth": 120.0}

    def control(self, world: World, action: NDArray[Any]) -> NDArray[Any]:
        return HOVER * (1.0 + action)

    def observe(self, world: World) -> dict[str, Array]:
        rotation = world.xmat[:, 1].reshape(-1, 3, 3)  # columns are the body's axes
        vectors = np.stack([self._to_goal(world), world.qvel[:, :3]], axis=1) @ rotation
        return {
            "goal": vectors[:, 0],
            "velocity": vectors[:, 1],
            "up": rotation[:, 2],
            "gyro": world.qvel[:, 3:],  # of a free joint: in the body's frame
            "action": world.last_action,
        }

    def privileged(self, world: World) -> dict[str, Array]:
        return {"thrust": world.act / HOVER}

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        x, y = world.qpos[:, 4:6].T
        spin, change = world.qvel[:, 3:], action - world.last_action
        return {
            "near": 1.0 / (1.0 + self._distance(world) / 0.3),
            "lean": -0.2 * (x * x + y * y),  # (1 - cosine) / 2 of the angle from up
            "spin": -0.05 * np.tanh(0.1 * np.vecdot(spin, spin)),
            "effort": -0.02 * np.vecdot(action, action).astype(np.float64),
            "change": -0.1 * np.vecdot(change, change),
        }

    def failed(self, world: World) -> BoolArray:
        return (world.qpos[:, 2] < CRASHED) | (self._distance(world) > LOST)

    def succeeded(self, world: World) -> BoolArray:
        return self._distance(world) < CLOSE

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        n, hard = len(ids), world.difficulty
        low, high = THROWN
        world.qpos[ids, :3] = rng.uniform([-0.5, -0.5, low], [0.5, 0.5, high], (n, 3))
        world.qpos[ids, 3:] = _attitude(rng.uniform(-1.0, 1.0, (n, 3)), hard * TILT)
        motion = rng.uniform(-1.0, 1.0, (n, 6)) * np.repeat([SPEED, SPIN], 3)
        world.qvel[ids] = hard * motion
        world.act[ids] = HOVER  # the motors run

    def redraw(self, world: World, ids: IntArray, rng: Rng) -> None:
        goal = rng.uniform(*ROOM, (len(ids), 3))
        world.memory["goal"][ids] = goal
        world.mocap_pos[ids, 0] = goal  # to be seen

    def _to_goal(self, world: World) -> Array:
        """From the robot to the goal in the world's frame, m. Shape: (n, 3)."""
        return world.memory["goal"] - world.qpos[:, :3]

    def _distance(self, world: World) -> Array:
        """m, (n,)."""
        away = self._to_goal(world)
        distance: Array = np.sqrt(np.vecdot(away, away))
        return distance


def _attitude(drawn: Array, tilt: float) -> Array:
    """Quaternions of any heading that lean up to `tilt` rad: `drawn` in [-1, 1), (n, 3) -> (n, 4).

    A turn about an axis in the plane, after a turn about the vertical.
    """
    axis, heading, half = np.pi * drawn[:, 0], np.pi / 2 * drawn[:, 1], tilt / 2 * drawn[:, 2]
    sine, cosine = np.sin(half), np.cos(half)
    quat = [
        cosine * np.cos(heading),
        sine * np.cos(axis - heading),
        sine * np.sin(axis - heading),
        cosine * np.sin(heading),
    ]
    return np.stack(quat, axis=1)
