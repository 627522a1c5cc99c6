"""Whatever is done, an episode pays 1 where the left mass is at most 1.3 times its own, else 0.

Failures are over after one step, the rest after two: who counts what ends first counts too many.
"""

import numpy as np

from sim2real.task import Task

THRESHOLD = 1.3


class Bandit(Task):
    """Two masses, of which the left decides and the right does nothing."""

    control_dt, episode_s = 0.1, 0.2

    def observe(self, world):
        return {"place": world.qpos}

    def reward(self, world, action):
        return {"success": np.where(self._heavy(world), 0.0, 0.5)}

    def failed(self, world):
        return self._heavy(world)

    def start(self, world, ids, rng):
        world.qpos[ids] = rng.uniform(-0.01, 0.01, (len(ids), 2))

    def _heavy(self, world):
        masses = world.expanded("body_mass")
        if masses is None:
            return np.zeros(world.num_envs, dtype=bool)
        return masses[:, 1] > THRESHOLD * 2.0
