"""A ball on a rail before a camera: where it is in the image has a closed form."""

from typing import ClassVar

from sim2real.task import Image, Task


class Watched(Task):
    """Push a ball along a rail; the policy observes its speed and two cameras."""

    control_dt, episode_s = 0.02, 1.0
    units: ClassVar = {"speed": "m/s", "place": "m"}
    images: ClassVar = {
        "front": Image("front", width=32, height=16),
        "past": Image("front", width=16, height=16, colors="gray", stack=2, period=0.06),
    }

    def observe(self, world):
        return {"speed": world.qvel}

    def privileged(self, world):
        return {"place": world.qpos}

    def reward(self, world, action):
        return {"middle": -(world.qpos[:, 0] ** 2)}

    def start(self, world, ids, rng):
        world.qpos[ids] = rng.uniform(-0.4, 0.4, (len(ids), 1))
