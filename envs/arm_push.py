"""Arm push: a desk arm of the SO-101 class pushes a puck over a table to a goal.

The task, and what its domains draw, follow Peng et al. 2018, "Sim-to-real transfer of robotic
control with dynamics randomization" (arXiv:1710.06537), on a smaller arm.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.envs._arm import JOINTS, PAN, ArmTask, length, off_axis, smoothness
from sim2real.task import Array, BoolArray, IntArray, Rng, World

PUCK = slice(5, 8)  # its place in qpos
PUCK_RADIUS = (0.18, 0.23)  # m, of the starts of the puck, from the axis of the first joint
PUCK_AZIMUTH = 0.6  # rad, to either side
GOAL_DISTANCE = (0.08, 0.15)  # m, from the puck
GOAL_ANGLE = 0.8  # rad, of the way to the goal, from straight away from the arm
CLOSE = 0.05  # m, a goal is reached; 0.07 m on the larger arm of Peng et al.
TOUCH = 0.042  # m, from tip to the middle of the puck where they touch


class ArmPush(ArmTask):
    """An arm of five servos pushes a puck of 6 cm within 5 cm of a goal on the table.

    | action | moves the target of | range | step at 1 |
    |--------|---------------------|-------|-----------|
    | 0      | shoulder pan        | ±1    | 0.1 rad   |
    | 1      | shoulder lift       | ±1    | 0.1 rad   |
    | 2      | elbow flex          | ±1    | 0.1 rad   |
    | 3      | wrist flex          | ±1    | 0.1 rad   |
    | 4      | wrist roll          | ±1    | 0.1 rad   |

    | index | term     | observed                                        | unit  |
    |-------|----------|-------------------------------------------------|-------|
    | 0-4   | position | joint angles, in the order of actions           | rad   |
    | 5-9   | velocity | joint rates, in the order of actions            | rad/s |
    | 10-14 | target   | commanded positions of the servos               | rad   |
    | 15-17 | tip      | x, y, z of the tip                              | m     |
    | 18-19 | puck     | x, y of the puck                                | m     |
    | 20-21 | to_puck  | x, y from the tip to the puck, as a camera sees | m     |
    | 22-23 | to_goal  | x, y from the puck to the goal                  | m     |
    | 24-28 | action   | the action before                               |       |

    Reward: up to 1 for a puck near the goal (a tenth of a metre counts), up to 1 for one on it, up
    to 0.5 for a tip at the puck, minus a little for changes of the action. The puck stands ahead
    of the tip, the goal behind the puck; both are drawn for each episode, unless the option
    `goal` (x, y, 0 in m) is given. It never fails.
    """

    episode_s = 6.0
    commanded = ("target", "action")
    units: ClassVar = {
        "position": "rad",
        "velocity": "rad/s",
        "target": "rad",
        "tip": "m",
        "puck": "m",
        "to_puck": "m",
        "to_goal": "m",
        "puck_pose": "m, quaternion",
        "puck_velocity": "m/s, rad/s",
        "torque": "N m",
    }
    frames: ClassVar = {"tip": "world", "puck": "world", "to_puck": "world", "to_goal": "world"}
    camera: ClassVar = {
        "distance": 0.9,
        "elevation": -35.0,
        "azimuth": 140.0,
        "lookat": [0.2, 0.0, 0.05],
    }
    home = np.array([0.0, -0.75, 1.05, 1.1, 0.0])
    reach, azimuth, height = (0.2, 0.38), 1.1, (0.0, 0.001)

    def observe(self, world: World) -> dict[str, Array]:
        tip, puck = world.site("tip").xpos, world.qpos[:, PUCK]
        return {
            "position": world.qpos[:, JOINTS],
            "velocity": world.qvel[:, JOINTS],
            "target": world.memory["target"],
            "tip": tip,
            "puck": puck[:, :2],
            "to_puck": puck[:, :2] - tip[:, :2],
            "to_goal": _to_goal(world),
            "action": world.last_action,
        }

    def privileged(self, world: World) -> dict[str, Array]:
        return {
            "puck_pose": world.qpos[:, 5:],
            "puck_velocity": world.qvel[:, 5:],
            "torque": world.actuator_force,
        }

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        distance = length(_to_goal(world))
        apart = length(world.qpos[:, PUCK] - world.site("tip").xpos)
        return {
            "near": 1.0 - np.tanh(distance / 0.1),
            "close": np.exp(-np.square(distance / (CLOSE / 2))),
            "touch": 0.5 - 0.5 * np.tanh(np.maximum(apart - TOUCH, 0.0) / 0.05),
            "smooth": -0.05 * smoothness(world, action),
        }

    def succeeded(self, world: World) -> BoolArray:
        return length(_to_goal(world)) < CLOSE

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        self.pose(world, ids, rng.uniform(-0.03, 0.03, (len(ids), 5)))
        radius = rng.uniform(*PUCK_RADIUS, (len(ids),))
        world.qpos[ids, 5:7] = off_axis(
            radius, rng.uniform(-PUCK_AZIMUTH, PUCK_AZIMUTH, (len(ids),))
        )

    def redraw(self, world: World, ids: IntArray, rng: Rng) -> None:
        puck = world.qpos[ids, 5:7]
        ahead = np.arctan2(*(puck - PAN).T[::-1])
        way = ahead + rng.uniform(-GOAL_ANGLE, GOAL_ANGLE, (len(ids),))
        distance = rng.uniform(*GOAL_DISTANCE, (len(ids),))
        goal = puck + distance[:, None] * np.stack([np.cos(way), np.sin(way)], axis=1)
        self.aim(world, ids, np.column_stack([goal, np.full(len(ids), 0.0005)]))


def _to_goal(world: World) -> Array:
    """From the puck to the goal, (n, 2) in m."""
    return world.memory["goal"][:, :2] - world.qpos[:, 5:7]
