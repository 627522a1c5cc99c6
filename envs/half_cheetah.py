"""HalfCheetah: a planar cheetah runs forward. Equals Gymnasium's HalfCheetah-v5."""

from __future__ import annotations

from typing import Any, ClassVar

import mujoco
from numpy.typing import NDArray

from sim2real.envs._gymnasium import GymnasiumTask, control_cost
from sim2real.task import Array, World, gymnasium_asset

TOTAL_MASS = 14.0  # kg, as in the file


class HalfCheetah(GymnasiumTask):
    """A planar robot of a torso, a hind leg and a fore leg runs along x (Wawrzyński 2009).

    | action | motor at    | range | torque at 1 |
    |--------|-------------|-------|-------------|
    | 0      | hind thigh  | ±1    | 120 N m     |
    | 1      | hind shin   | ±1    | 90 N m      |
    | 2      | hind foot   | ±1    | 60 N m      |
    | 3      | fore thigh  | ±1    | 120 N m     |
    | 4      | fore shin   | ±1    | 60 N m      |
    | 5      | fore foot   | ±1    | 30 N m      |

    | index | term     | observed                             | unit  |
    |-------|----------|--------------------------------------|-------|
    | 0     | position | height of the torso                  | m     |
    | 1     | position | pitch of the torso                   | rad   |
    | 2-4   | position | angles of hind thigh, shin, foot     | rad   |
    | 5-7   | position | angles of fore thigh, shin, foot     | rad   |
    | 8     | velocity | forward velocity of the torso        | m/s   |
    | 9     | velocity | upward velocity of the torso         | m/s   |
    | 10    | velocity | pitch rate of the torso              | rad/s |
    | 11-13 | velocity | angle rates of hind thigh, shin, foot | rad/s |
    | 14-16 | velocity | angle rates of fore thigh, shin, foot | rad/s |

    Height is measured from where it stands at the start. Reward: forward velocity, -0.1 |action|².
    It never fails.
    """

    model = gymnasium_asset("half_cheetah.xml")
    control_dt, episode_s = 0.05, 50.0
    units: ClassVar = {"position": "m, rad", "velocity": "m/s, rad/s"}
    remembers = ("qpos",)
    camera: ClassVar = {"trackbodyid": 1, "distance": 3.0, "elevation": -10.0, "azimuth": 90.0}
    start_noise = 0.1
    start_velocity = "normal"

    def edit(self, spec: mujoco.MjSpec) -> None:
        # The file asks for a total mass by an attribute that MuJoCo is to drop, with a warning.
        spec.compiler.settotalmass = -1
        model = spec.compile()
        mujoco.mj_setTotalmass(model, TOTAL_MASS)
        spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
        for body in spec.bodies[1:]:
            link = model.body(body.name)
            body.mass, body.inertia = float(link.mass[0]), link.inertia
            body.ipos, body.iquat, body.explicitinertial = link.ipos, link.iquat, True

    def observe(self, world: World) -> dict[str, Array]:
        return {"position": world.qpos[:, 1:], "velocity": world.qvel}

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        forward = (world.qpos[:, 0] - world.previous["qpos"][:, 0]) / world.step_s
        return {"forward": forward, "control": -control_cost(action, 0.1)}
