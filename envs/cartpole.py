"""Cartpole: a cart swings its pole up and balances it. A whole robot of one's own, as an example.

The model stands beside it in cartpole.xml, the worlds to train and test in in cartpole.yaml.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, BoolArray, IntArray, Mirror, Rng, Task, World

RAIL = 2.0  # m, half its length


class Cartpole(Task):
    """A cart of 1 kg on a rail of ±2 m swings up a pole of 1 m and 0.1 kg that hangs from it.

    | action | motor at | range | force at 1 |
    |--------|----------|-------|------------|
    | 0      | cart     | ±1    | 20 N       |

    | index | term     | observed                            | unit  |
    |-------|----------|-------------------------------------|-------|
    | 0     | cart     | place on the rail                   | m     |
    | 1-2   | pole     | cosine, sine of the angle from up   |       |
    | 3     | velocity | cart                                | m/s   |
    | 4     | velocity | angle rate of the pole              | rad/s |

    Reward: 1 upright, 0 hanging, minus a little for places off the middle, for spinning (which
    would earn half of the reward) and for effort. It fails at the end of the rail.
    """

    control_dt, episode_s = 0.02, 10.0  # s
    units: ClassVar = {"cart": "m", "velocity": "m/s, rad/s"}
    mirror = Mirror(action="-0", terms={"cart": "-0", "pole": "0 -1", "velocity": "-0 -1"})
    camera: ClassVar = {"distance": 4.0, "elevation": -10.0, "azimuth": 90.0}

    def observe(self, world: World) -> dict[str, Array]:
        cart, angle = world.qpos[:, :1], world.qpos[:, 1:]
        return {
            "cart": cart,
            "pole": np.hstack([np.cos(angle), np.sin(angle)]),
            "velocity": world.qvel,
        }

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        cart, angle = world.qpos.T
        return {
            "upright": (1 + np.cos(angle)) / 2,
            "middle": -0.1 * (cart / RAIL) ** 2,
            "spin": -0.005 * world.qvel[:, 1] ** 2,
            "effort": -0.01 * action[:, 0] ** 2,
        }

    def failed(self, world: World) -> BoolArray:
        return np.abs(world.qpos[:, 0]) > RAIL

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        n = len(ids)
        world.qpos[ids, 0] = rng.uniform(-0.1, 0.1, (n,))
        world.qpos[ids, 1] = np.pi + rng.uniform(-0.1, 0.1, (n,))
        world.qvel[ids] = rng.uniform(-0.1, 0.1, (n, 2))
