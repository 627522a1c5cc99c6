"""The slider with all that a robot asks of a task: commands, memory, history, success."""

import numpy as np

from sim2real.task import Task, within


class Follower(Task):
    """Push a mass to places that are drawn; the action is twice the control."""

    model = "slider.xml"
    control_dt, episode_s, redraw_s = 0.02, 1.0, 0.2
    action_limits = (-2.0, 2.0)
    memory = {"command": 1, "given": 1}  # noqa: RUF012
    commanded = ("command", "last_action")
    history = {"place": 3}  # noqa: RUF012

    def __init__(self, command=None):
        self.command = None if command is None else within("command", command, -1.0, 1.0)
        super().__init__(**({} if command is None else {"command": command}))

    def control(self, world, action):
        world.memory["given"] += action  # over the whole episode
        return action / 2

    def observe(self, world):
        return {
            "place": world.qpos,
            "command": world.memory["command"],
            "last_action": world.last_action,
        }

    def privileged(self, world):
        return {"given": world.memory["given"]}

    def reward(self, world, action):
        near = -np.abs(world.qpos - world.memory["command"])[:, 0]
        return {"near": near, "change": -np.abs(action - world.last_action)[:, 0]}

    def succeeded(self, world):
        return np.abs(world.qpos - world.memory["command"])[:, 0] < 0.5

    def start(self, world, ids, rng):
        world.qpos[ids] = world.difficulty * rng.uniform(0.5, 1.0, (len(ids), 1))

    def redraw(self, world, ids, rng):
        drawn = rng.uniform(-1.0, 1.0, (len(ids), 1))
        world.memory["command"][ids] = drawn if self.command is None else self.command
