"""A cage of 10 kg on a winch that only pulls, with 0 to 200 N; 98.1 N hold it."""

import numpy as np

from sim2real.task import Task


class Lift(Task):
    """Hold the cage where it is: 1 a step for that, 200 an episode; 1 m away is failed."""

    control_dt, episode_s = 0.02, 4.0
    units = {"height": "m", "speed": "m/s", "pull": "N"}  # noqa: RUF012

    def observe(self, world):
        return {"height": world.qpos, "speed": world.qvel, "pull": world.last_action}

    def reward(self, world, action):
        return {"held": np.exp(-3.0 * np.abs(world.qpos[:, 0]))}

    def failed(self, world):
        return np.abs(world.qpos[:, 0]) > 1.0

    def start(self, world, ids, rng):
        world.qpos[ids] = rng.uniform(-0.1, 0.1, (len(ids), 1))
