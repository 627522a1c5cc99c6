"""An arm and a cart with one of every kind of actuator, a tendon, and a body of given inertia."""

from sim2real.task import Task


class Servo(Task):
    """Move about; the actions are the targets of the servos."""

    control_dt, episode_s = 0.02, 1.0

    def observe(self, world):
        return {"place": world.qpos, "speed": world.qvel}

    def reward(self, world, action):
        return {"place": world.qpos[:, 0]}

    def start(self, world, ids, rng):
        world.qpos[ids] = rng.uniform(-0.1, 0.1, (len(ids), 5))
