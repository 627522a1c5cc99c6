"""A stand-in with names of the LEAP hand, two fingers of it, to read published ranges with."""

from sim2real.task import Task


class Hand(Task):
    """Hold a cube; the actions are the positions of four joints."""

    control_dt, episode_s = 0.05, 4.0

    def observe(self, world):
        return {"joint_positions": world.qpos[:, :4], "cube": world.qpos[:, 4:]}

    def reward(self, world, action):
        return {"turning": world.qvel[:, -1]}
