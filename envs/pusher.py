"""Pusher: an arm pushes a cylinder to a goal. Equals Gymnasium's Pusher-v5."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.envs._gymnasium import GymnasiumTask, control_cost, norm
from sim2real.task import Array, IntArray, Rng, World, gymnasium_asset

TIPS, OBJECT, GOAL = 10, 11, 12  # bodies
CLEARANCE = 0.17  # m, the object starts at least so far from the goal
CANDIDATES = 64  # 0.38 of them are too near, so that none fits once in 10**27 starts


class Pusher(GymnasiumTask):
    """An arm of seven joints pushes a cylinder over a table to a goal; there is no gravity.

    | action | motor at                  | range | torque at 1 |
    |--------|---------------------------|-------|-------------|
    | 0-2    | shoulder: pan, lift, roll | ±2    | 1 N m       |
    | 3      | elbow                     | ±2    | 1 N m       |
    | 4      | forearm roll              | ±2    | 1 N m       |
    | 5-6    | wrist: flex, roll         | ±2    | 1 N m       |

    | index | term     | observed                              | unit  |
    |-------|----------|---------------------------------------|-------|
    | 0-6   | position | joint angles, in the order of actions | rad   |
    | 7-13  | velocity | joint rates, in the order of actions  | rad/s |
    | 14-16 | tip      | x, y, z of the fingertips             | m     |
    | 17-19 | object   | x, y, z of the cylinder               | m     |
    | 20-22 | goal     | x, y, z of the goal, always the same  | m     |

    Reward: minus the distance of the object from the goal, -0.1 |action|², minus half the distance
    of the fingertips from the object. It never fails.
    """

    model = gymnasium_asset("pusher_v5.xml")
    control_dt, episode_s = 0.05, 5.0
    units: ClassVar = {
        "position": "rad",
        "velocity": "rad/s",
        "tip": "m",
        "object": "m",
        "goal": "m",
    }
    camera: ClassVar = {"distance": 2.5, "elevation": -40.0, "azimuth": 130.0}

    def observe(self, world: World) -> dict[str, Array]:
        return {
            "position": world.qpos[:, :7],
            "velocity": world.qvel[:, :7],
            "tip": world.xpos[:, TIPS],
            "object": world.xpos[:, OBJECT],
            "goal": world.xpos[:, GOAL],
        }

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        tip, thing, goal = (world.xpos[:, body] for body in (TIPS, OBJECT, GOAL))
        return {
            "distance": -norm(thing - goal),
            "control": -control_cost(action, 0.1),
            "near": -norm(thing - tip) * 0.5,
        }

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        n = len(ids)
        world.qvel[ids, :7] += rng.uniform(-0.005, 0.005, (n, 7))
        # The first of many places that is not too near the goal at (0, 0).
        places = np.stack(
            [rng.uniform(-0.3, 0.0, (n, CANDIDATES)), rng.uniform(-0.2, 0.2, (n, CANDIDATES))], -1
        )
        first = np.argmax(np.linalg.norm(places, axis=-1) > CLEARANCE, axis=1)
        world.qpos[ids, -4:-2] = places[np.arange(n), first]
