"""A stand-in with the names of a Unitree Go1, to read published ranges with."""

import numpy as np

from sim2real.task import Task


class Quadruped(Task):
    """Stand on four legs; the actions are the positions of twelve joints."""

    control_dt, episode_s = 0.02, 4.0

    def observe(self, world):
        return {
            "gravity": -world.body("trunk").xmat.reshape(world.num_envs, 9)[:, 6:],
            "joint_positions": world.qpos[:, 7:],
            "joint_velocities": world.qvel[:, 6:],
        }

    def reward(self, world, action):
        return {"height": world.qpos[:, 2], "effort": -np.square(action).sum(axis=1)}
