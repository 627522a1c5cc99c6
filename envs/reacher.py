"""Reacher: a planar arm moves its fingertip to a target. Equals Gymnasium's Reacher-v5."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.envs._gymnasium import GymnasiumTask, control_cost, norm
from sim2real.task import Array, IntArray, Rng, World, gymnasium_asset

FINGERTIP, TARGET = 3, 4  # bodies
REACH = 0.2  # m, radius of the disk of targets


class Reacher(GymnasiumTask):
    """An arm of two links of 0.1 m brings its fingertip to a target in a disk of 0.2 m.

    | action | motor at | range | torque at 1 |
    |--------|----------|-------|-------------|
    | 0      | shoulder | ±1    | 200 N m     |
    | 1      | elbow    | ±1    | 200 N m     |

    | index | term      | observed                             | unit  |
    |-------|-----------|--------------------------------------|-------|
    | 0-1   | cosine    | of the angles of shoulder and elbow  |       |
    | 2-3   | sine      | of the angles of shoulder and elbow  |       |
    | 4-5   | target    | x, y of the target                   | m     |
    | 6-7   | velocity  | angle rates of shoulder and elbow    | rad/s |
    | 8-9   | to_target | x, y of the fingertip off the target | m     |

    Reward: minus the distance of the fingertip from the target, -|action|². It never fails.
    """

    model = gymnasium_asset("reacher.xml")
    control_dt, episode_s = 0.02, 1.0
    units: ClassVar = {"target": "m", "velocity": "rad/s", "to_target": "m"}
    camera: ClassVar = {"distance": 0.9, "elevation": -70.0, "azimuth": 90.0}
    start_noise = 0.1

    def observe(self, world: World) -> dict[str, Array]:
        return {
            "cosine": np.cos(world.qpos[:, :2]),
            "sine": np.sin(world.qpos[:, :2]),
            "target": world.qpos[:, 2:],
            "velocity": world.qvel[:, :2],
            "to_target": _off_target(world)[:, :2],
        }

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        return {"distance": -norm(_off_target(world)), "control": -control_cost(action, 1.0)}

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        n = len(ids)
        world.qpos[ids, :2] += rng.uniform(-self.start_noise, self.start_noise, (n, 2))
        world.qvel[ids, :2] += rng.uniform(-0.005, 0.005, (n, 2))
        # Uniform on the disk: the density of the radius grows with the radius.
        radius = REACH * np.sqrt(rng.random((n,)))
        angle = rng.uniform(0.0, 2 * np.pi, (n,))
        world.qpos[ids, 2] = radius * np.cos(angle)
        world.qpos[ids, 3] = radius * np.sin(angle)


def _off_target(world: World) -> Array:
    """From the target to the fingertip. Shape: (n, 3); m."""
    return world.xpos[:, FINGERTIP] - world.xpos[:, TARGET]
