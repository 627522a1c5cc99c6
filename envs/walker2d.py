"""Walker2d: two legs walk forward without falling. Equals Gymnasium's Walker2d-v5."""

from __future__ import annotations

from typing import ClassVar

from sim2real.envs._gymnasium import PlanarWalker, between
from sim2real.task import BoolArray, Mirror, World, gymnasium_asset


class Walker2d(PlanarWalker):
    """A planar robot of a torso and two legs walks along x as fast as it can.

    | action | motor at          | range | torque at 1 |
    |--------|-------------------|-------|-------------|
    | 0      | right thigh       | ±1    | 100 N m     |
    | 1      | right leg         | ±1    | 100 N m     |
    | 2      | right foot        | ±1    | 100 N m     |
    | 3      | left thigh        | ±1    | 100 N m     |
    | 4      | left leg          | ±1    | 100 N m     |
    | 5      | left foot         | ±1    | 100 N m     |

    | index | term     | observed                              | unit  |
    |-------|----------|---------------------------------------|-------|
    | 0     | position | height of the torso                   | m     |
    | 1     | position | pitch of the torso                    | rad   |
    | 2-4   | position | angles of right thigh, leg, foot      | rad   |
    | 5-7   | position | angles of left thigh, leg, foot       | rad   |
    | 8     | velocity | forward velocity of the torso         | m/s   |
    | 9     | velocity | upward velocity of the torso          | m/s   |
    | 10    | velocity | pitch rate of the torso               | rad/s |
    | 11-13 | velocity | angle rates of right thigh, leg, foot | rad/s |
    | 14-16 | velocity | angle rates of left thigh, leg, foot  | rad/s |

    Velocities are clipped at ±10. Reward: forward velocity, +1 while healthy, -0.001 |action|².
    It fails when the torso leaves 0.8 to 2 m or leans more than 1 rad.
    """

    model = gymnasium_asset("walker2d_v5.xml")
    mirror = Mirror(  # the other leg
        action="3 4 5 0 1 2",
        terms={"position": "0 1 5 6 7 2 3 4", "velocity": "0 1 2 6 7 8 3 4 5"},
    )
    camera: ClassVar = {"trackbodyid": 1, "distance": 4.0, "elevation": -10.0, "azimuth": 90.0}

    def healthy(self, world: World) -> BoolArray:
        return between(world.qpos[:, 1], 0.8, 2.0) & between(world.qpos[:, 2], -1.0, 1.0)
