"""Guess a number that only noisy readings tell: the mean of several is a better guess than one."""

from sim2real.task import Task

DEVIATION = 0.3
"""Standard deviation of the number; the domain `noisy` has that of a reading."""


class Guessing(Task):
    """With the number c ~ N(0, 0.3^2) of an episode, the action a earns -((a - c) / 0.3)^2 a step.

    Of n readings with the same standard deviation the best guess earns -1 / (1 + n).
    """

    model = "slider.xml"
    control_dt, episode_s = 0.02, 0.8
    memory = {"c": 1}  # noqa: RUF012

    def observe(self, world):
        return {"reading": world.memory["c"].copy()}

    def reward(self, world, action):
        error = (action[:, 0] - world.memory["c"][:, 0]) / DEVIATION
        return {"error": -(error**2)}

    def start(self, world, ids, rng):
        world.memory["c"][ids] = rng.normal(0.0, DEVIATION, (len(ids), 1))
