"""Swimmer: three links swim forward in a viscous fluid. Equals Gymnasium's Swimmer-v5."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from sim2real.envs._gymnasium import GymnasiumTask, control_cost
from sim2real.task import Array, World, gymnasium_asset


class Swimmer(GymnasiumTask):
    """A snake of three links swims along x in the plane (Coulom 2002).

    | action | motor at     | range | torque at 1 |
    |--------|--------------|-------|-------------|
    | 0      | first joint  | ±1    | 150 N m     |
    | 1      | second joint | ±1    | 150 N m     |

    | index | term     | observed                        | unit  |
    |-------|----------|---------------------------------|-------|
    | 0     | position | heading of the first link       | rad   |
    | 1-2   | position | angles of the two joints        | rad   |
    | 3     | velocity | velocity of the tip along x     | m/s   |
    | 4     | velocity | velocity of the tip along y     | m/s   |
    | 5     | velocity | turning rate of the first link  | rad/s |
    | 6-7   | velocity | angle rates of the two joints   | rad/s |

    Reward: velocity along x, -0.0001 |action|². It never fails.
    """

    model = gymnasium_asset("swimmer.xml")
    control_dt, episode_s = 0.04, 40.0
    units: ClassVar = {"position": "rad", "velocity": "m/s, rad/s"}
    remembers = ("qpos",)
    camera: ClassVar = {"trackbodyid": 1, "distance": 6.0, "elevation": -45.0, "azimuth": 90.0}
    start_noise = 0.1

    def observe(self, world: World) -> dict[str, Array]:
        return {"position": world.qpos[:, 2:], "velocity": world.qvel}

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        forward = (world.qpos[:, 0] - world.previous["qpos"][:, 0]) / world.step_s
        return {"forward": forward, "control": -control_cost(action, 1e-4)}
