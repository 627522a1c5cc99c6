"""InvertedPendulum: a cart keeps a pole upright. Equals Gymnasium's InvertedPendulum-v5."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.envs._gymnasium import GymnasiumTask, bonus
from sim2real.task import Array, BoolArray, World, gymnasium_asset


class InvertedPendulum(GymnasiumTask):
    """A cart on a rail of ±1 m balances a pole (Barto, Sutton & Anderson 1983).

    | action | motor at | range | force at 1 |
    |--------|----------|-------|------------|
    | 0      | cart     | ±3    | 100 N      |

    | index | term     | observed                          | unit  |
    |-------|----------|-----------------------------------|-------|
    | 0     | position | cart on the rail                  | m     |
    | 1     | position | angle of the pole from upright    | rad   |
    | 2     | velocity | cart                              | m/s   |
    | 3     | velocity | angle rate of the pole            | rad/s |

    Reward: 1 while the pole stands. It fails when the pole leans more than 0.2 rad.
    """

    model = gymnasium_asset("inverted_pendulum.xml")
    control_dt, episode_s = 0.04, 40.0
    units: ClassVar = {"position": "m, rad", "velocity": "m/s, rad/s"}
    camera: ClassVar = {"distance": 2.5, "elevation": -10.0, "azimuth": 90.0}
    start_noise = 0.01

    def observe(self, world: World) -> dict[str, Array]:
        return {"position": world.qpos, "velocity": world.qvel}

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        return {"upright": bonus(~self.failed(world), 1.0)}

    def failed(self, world: World) -> BoolArray:
        finite = np.isfinite(world.qpos).all(axis=1) & np.isfinite(world.qvel).all(axis=1)
        return ~finite | (np.abs(world.qpos[:, 1]) > 0.2)
