"""A four-bar linkage: crank, coupler and rocker, whose loop an equality constraint closes."""

from sim2real.task import Task


class FourBar(Task):
    """Turn the crank."""

    control_dt, episode_s = 0.02, 2.0

    def observe(self, world):
        return {"angles": world.qpos}

    def reward(self, world, action):
        return {"turned": world.qpos[:, 0]}
