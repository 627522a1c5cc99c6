"""The ball of watched.py for a policy that is told where it is: a teacher for one that sees it."""

from pathlib import Path
from typing import ClassVar

from sim2real.task import Task


class Told(Task):
    """Push a ball along a rail to its middle."""

    model = str(Path(__file__).with_name("watched.xml"))
    control_dt, episode_s = 0.02, 1.0
    units: ClassVar = {"speed": "m/s", "place": "m"}

    def observe(self, world):
        return {"place": world.qpos, "speed": world.qvel}

    def reward(self, world, action):
        return {"middle": -(world.qpos[:, 0] ** 2)}

    def start(self, world, ids, rng):
        world.qpos[ids] = rng.uniform(-0.4, 0.4, (len(ids), 1))
