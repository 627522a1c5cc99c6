"""Arm reach: a desk arm of the SO-101 class brings the tip of its gripper to points in the air."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.envs._arm import JOINTS, ArmTask, length, off_axis, smoothness
from sim2real.task import Array, BoolArray, IntArray, Rng, World

CLOSE = 0.02  # m, a goal is reached


class ArmReach(ArmTask):
    """An arm of five servos and 0.63 kg brings its tip within 2 cm of a point, and then of another.

    | action | moves the target of | range | step at 1 |
    |--------|---------------------|-------|-----------|
    | 0      | shoulder pan        | ±1    | 0.1 rad   |
    | 1      | shoulder lift       | ±1    | 0.1 rad   |
    | 2      | elbow flex          | ±1    | 0.1 rad   |
    | 3      | wrist flex          | ±1    | 0.1 rad   |
    | 4      | wrist roll          | ±1    | 0.1 rad   |

    | index | term     | observed                                     | unit  |
    |-------|----------|----------------------------------------------|-------|
    | 0-4   | position | joint angles, in the order of actions        | rad   |
    | 5-9   | velocity | joint rates, in the order of actions         | rad/s |
    | 10-14 | target   | commanded positions of the servos            | rad   |
    | 15-17 | goal     | x, y, z of the point                         | m     |
    | 18-20 | to_goal  | from the tip to the point, as a camera sees  | m     |
    | 21-25 | action   | the action before                            |       |

    Reward: up to 1 for a small distance (a tenth of a metre counts), up to 1 for a tiny one, minus
    a little for changes of the action. The goal lies in a piece of a tube around the first axis,
    and is drawn anew after 3 s; with the option `goal` (x, y, z in m) it stays there. It never
    fails.
    """

    episode_s = 6.0
    commanded = ("target", "goal", "action")
    redraw_s = 3.0
    units: ClassVar = {
        "position": "rad",
        "velocity": "rad/s",
        "target": "rad",
        "goal": "m",
        "to_goal": "m",
        "tip": "m",
        "torque": "N m",
    }
    frames: ClassVar = {"goal": "world", "to_goal": "world", "tip": "world"}
    camera: ClassVar = {
        "distance": 0.9,
        "elevation": -25.0,
        "azimuth": 140.0,
        "lookat": [0.15, 0.0, 0.1],
    }
    home = np.array([0.0, -0.6, 0.6, 0.3, 0.0])
    reach, azimuth, height = (0.16, 0.34), 1.2, (0.03, 0.30)

    def observe(self, world: World) -> dict[str, Array]:
        return {
            "position": world.qpos[:, JOINTS],
            "velocity": world.qvel[:, JOINTS],
            "target": world.memory["target"],
            "goal": world.memory["goal"],
            "to_goal": _to_goal(world),
            "action": world.last_action,
        }

    def privileged(self, world: World) -> dict[str, Array]:
        return {"tip": world.site("tip").xpos, "torque": world.actuator_force}

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        distance = length(_to_goal(world))
        return {
            "near": 1.0 - np.tanh(distance / 0.1),
            "close": np.exp(-np.square(distance / CLOSE)),
            "smooth": -0.05 * smoothness(world, action),
        }

    def succeeded(self, world: World) -> BoolArray:
        return length(_to_goal(world)) < CLOSE

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        self.pose(world, ids, rng.uniform(-0.25, 0.25, (len(ids), 5)))

    def redraw(self, world: World, ids: IntArray, rng: Rng) -> None:
        where = rng.random((len(ids), 3))
        inner, outer = np.square(self.reach)  # uniform in the volume
        radius = np.sqrt(inner + (outer - inner) * where[:, 0])
        height = self.height[0] + np.ptp(self.height) * where[:, 1]
        place = off_axis(radius, self.azimuth * (2.0 * where[:, 2] - 1.0))
        self.aim(world, ids, np.column_stack([place, height]))


def _to_goal(world: World) -> Array:
    """From the tip to the goal, (n, 3) in m."""
    return world.memory["goal"] - world.site("tip").xpos
