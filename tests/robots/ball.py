"""A free ball above a plane: it falls, rolls and is pushed in closed form."""

from sim2real.task import Task


class Ball(Task):
    """A ball of 2 kg and 0.1 m radius that rests on the floor; the action is a force along x."""

    control_dt, episode_s = 0.02, 4.0

    def observe(self, world):
        return {"position": world.qpos[:, :3], "velocity": world.qvel}

    def reward(self, world, action):
        return {"effort": -(action[:, 0] ** 2)}
