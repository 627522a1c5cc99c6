"""A mass on a rail without friction: every motion has a closed form."""

import numpy as np

from sim2real.task import Task


class Slider(Task):
    """Push a mass along a rail; the action is the force."""

    control_dt, episode_s = 0.02, 1.0
    units = {"place": "m", "speed": "m/s"}  # noqa: RUF012

    def observe(self, world):
        return {"place": world.qpos, "speed": world.joint("rail").qvel}

    def reward(self, world, action):
        return {"place": world.qpos[:, 0], "effort": -0.1 * action[:, 0] ** 2}

    def failed(self, world):
        return np.abs(world.qpos[:, 0]) > 5.0

    def start(self, world, ids, rng):
        world.qpos[ids] = rng.uniform(-0.01, 0.01, (len(ids), 1))
