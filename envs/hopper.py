"""Hopper: one leg hops forward without falling. Equals Gymnasium's Hopper-v5."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sim2real.envs._gymnasium import PlanarWalker, between
from sim2real.task import BoolArray, World, gymnasium_asset


class Hopper(PlanarWalker):
    """A planar leg of four links hops along x as fast as it can (Erez, Tassa & Todorov 2011).

    | action | motor at | range | torque at 1 |
    |--------|----------|-------|-------------|
    | 0      | thigh    | ±1    | 200 N m     |
    | 1      | leg      | ±1    | 200 N m     |
    | 2      | foot     | ±1    | 200 N m     |

    | index | term     | observed                           | unit  |
    |-------|----------|------------------------------------|-------|
    | 0     | position | height of the torso                | m     |
    | 1     | position | pitch of the torso                 | rad   |
    | 2-4   | position | angles of thigh, leg, foot         | rad   |
    | 5     | velocity | forward velocity of the torso      | m/s   |
    | 6     | velocity | upward velocity of the torso       | m/s   |
    | 7     | velocity | pitch rate of the torso            | rad/s |
    | 8-10  | velocity | angle rates of thigh, leg, foot    | rad/s |

    Velocities are clipped at ±10. Reward: forward velocity, +1 while healthy, -0.001 |action|².
    It fails when the torso is below 0.7 m, leans more than 0.2 rad, or a number exceeds 100.
    """

    model = gymnasium_asset("hopper.xml")
    camera: ClassVar = {"trackbodyid": 1, "distance": 3.0, "elevation": -10.0, "azimuth": 90.0}

    def healthy(self, world: World) -> BoolArray:
        qpos = world.qpos
        upright = (qpos[:, 1] > 0.7) & between(qpos[:, 2], -0.2, 0.2)
        bounded = (np.abs(qpos[:, 2:]) < 100).all(axis=1) & (np.abs(world.qvel) < 100).all(axis=1)
        return upright & (qpos[:, 1] < np.inf) & bounded
