"""Guess a mass that is not observed: what is best on average is not best for light masses."""

import numpy as np

from sim2real.task import Task


class Weighing(Task):
    """With a mass of 1 + 2 c, c in [0, 1], the action a earns 5 c - (a - c)^2 a step."""

    model = "slider.xml"
    control_dt, episode_s = 0.02, 0.1

    def observe(self, world):
        return {"place": 0.0 * world.qpos}

    def reward(self, world, action):
        masses = world.expanded("body_mass")
        c = np.full(world.num_envs, 0.5) if masses is None else (masses[:, 1] - 1.0) / 2.0
        return {"heavy": 5.0 * c, "error": -((action[:, 0] - c) ** 2)}

    def start(self, world, ids, rng):
        world.qpos[ids] = 0.0
