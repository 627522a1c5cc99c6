"""Ant: four legs walk forward. Equals Gymnasium's Ant-v5 without its contact forces."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.envs._gymnasium import (
    TouchingTask,
    bonus,
    control_cost,
)
from sim2real.task import Array, BoolArray, Mirror, World, gymnasium_asset

TORSO = 1  # body


class Ant(TouchingTask):
    """A torso on four legs of two joints walks along x (Schulman et al. 2016).

    | action | motor at                | range | torque at 1 |
    |--------|-------------------------|-------|-------------|
    | 0, 1   | hip, ankle, back right  | ±1    | 150 N m     |
    | 2, 3   | hip, ankle, front left  | ±1    | 150 N m     |
    | 4, 5   | hip, ankle, front right | ±1    | 150 N m     |
    | 6, 7   | hip, ankle, back left   | ±1    | 150 N m     |

    | index  | term          | observed                                       | unit   |
    |--------|---------------|------------------------------------------------|--------|
    | 0      | position      | height of the torso                            | m      |
    | 1-4    | position      | orientation of the torso, quaternion w x y z   |        |
    | 5-12   | position      | hip and ankle of front left, front right, back | rad    |
    |        |               | left, back right                               |        |
    | 13-15  | velocity      | velocity of the torso along x, y, z            | m/s    |
    | 16-18  | velocity      | angular velocity of the torso, its own axes    | rad/s  |
    | 19-26  | velocity      | joint rates, in the order of 5-12              | rad/s  |
    | 27-104 | contact_force | only with `contact_forces`: torque and force   | N m, N |
    |        |               | on each of 13 bodies, clipped at ±1            |        |

    Reward: velocity along x, +1 while healthy, -0.5 |action|². It fails when the torso leaves
    0.2 to 1 m. The option `contact_forces` observes them and takes 0.0005 of their squares off the
    reward; they are those at the start of the last physics step, where Gymnasium has those of
    its last Runge-Kutta stage, so without them alone the two are equal.
    """

    model = gymnasium_asset("ant.xml")
    control_dt, episode_s = 0.05, 50.0
    units: ClassVar = {
        "position": "m, quaternion, rad",
        "velocity": "m/s, rad/s",
    }
    remembers = ("xpos",)
    mirror = Mirror(  # left and right
        action="-2 3 -0 1 -6 7 -4 5",
        terms={
            "position": "0 1 -2 3 -4 -11 12 -9 10 -7 8 -5 6",
            "velocity": "0 -1 2 -3 4 -5 -12 13 -10 11 -8 9 -6 7",
        },
    )
    camera: ClassVar = {"trackbodyid": 1, "distance": 5.0, "elevation": -20.0, "azimuth": 90.0}
    start_noise = 0.1
    start_velocity = "normal"

    def observe(self, world: World) -> dict[str, Array]:
        terms = {"position": world.qpos[:, 2:], "velocity": world.qvel}
        if self.contact_forces:
            terms["contact_force"] = self._clipped_forces(world)
        return terms

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        moved = world.xpos[:, TORSO, 0] - world.previous["xpos"][:, TORSO, 0]
        terms = {
            "forward": moved / world.step_s,
            "healthy": bonus(self.healthy(world), 1.0),
            "control": -control_cost(action, 0.5),
        }
        if self.contact_forces:
            terms["contact"] = -5e-4 * np.square(self._clipped_forces(world)).sum(axis=1)
        return terms

    def healthy(self, world: World) -> BoolArray:
        height = world.qpos[:, 2]
        finite = np.isfinite(world.qpos).all(axis=1) & np.isfinite(world.qvel).all(axis=1)
        return finite & (height >= 0.2) & (height <= 1.0)

    def _clipped_forces(self, world: World) -> Array:
        return np.clip(world.cfrc_ext[:, 1:], -1, 1).reshape(world.num_envs, -1)
