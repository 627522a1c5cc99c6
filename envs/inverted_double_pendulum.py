"""InvertedDoublePendulum: a cart keeps two poles upright. Equals InvertedDoublePendulum-v5."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.envs._gymnasium import GymnasiumTask, bonus, squared
from sim2real.task import Array, BoolArray, World, gymnasium_asset

TIP = 0  # site


class InvertedDoublePendulum(GymnasiumTask):
    """A cart on a rail of ±1 m balances two poles of 0.6 m, one on the other.

    | action | motor at | range | force at 1 |
    |--------|----------|-------|------------|
    | 0      | cart     | ±1    | 500 N      |

    | index | term             | observed                                   | unit  |
    |-------|------------------|--------------------------------------------|-------|
    | 0     | position         | cart on the rail                           | m     |
    | 1-2   | sine             | of the angles of the lower and upper joint |       |
    | 3-4   | cosine           | of the angles of the lower and upper joint |       |
    | 5     | velocity         | cart                                       | m/s   |
    | 6-7   | velocity         | angle rates of the lower and upper joint   | rad/s |
    | 8     | constraint_force | of the end of the rail on the cart         | N     |

    Velocities and the force are clipped at ±10. Reward: 10 while it stands, minus the distance of
    the tip from (0, 2 m), 0.01 x² + (z - 2)², minus 0.001 and 0.005 of the squared angle rates.
    It fails when the tip is at 1 m or below.
    """

    model = gymnasium_asset("inverted_double_pendulum.xml")
    control_dt, episode_s = 0.05, 50.0
    units: ClassVar = {"position": "m", "velocity": "m/s, rad/s", "constraint_force": "N"}
    camera: ClassVar = {
        "lookat": [0.0, 0.0, 0.4],
        "distance": 3.5,
        "elevation": -5.0,
        "azimuth": 90.0,
    }
    start_noise = 0.1
    start_velocity = "normal"

    def observe(self, world: World) -> dict[str, Array]:
        return {
            "position": world.qpos[:, :1],
            "sine": np.sin(world.qpos[:, 1:]),
            "cosine": np.cos(world.qpos[:, 1:]),
            "velocity": np.clip(world.qvel, -10, 10),
            "constraint_force": np.clip(world.qfrc_constraint[:, :1], -10, 10),
        }

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        offset = world.site_xpos[:, TIP, ::2] - [0.0, 2.0]
        x, z = squared(offset).T
        lower, upper = squared(world.qvel[:, 1:3]).T
        return {
            "upright": bonus(~self.failed(world), 10.0),
            "distance": -(0.01 * x + z),
            "velocity": -(1e-3 * lower + 5e-3 * upper),
        }

    def failed(self, world: World) -> BoolArray:
        return world.site_xpos[:, TIP, 2] <= 1
