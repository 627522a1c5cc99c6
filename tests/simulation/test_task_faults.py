"""Faults of a task's own code end in one line that names the task and the method."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

ROBOTS = Path(__file__).parents[1] / "robots"
TASK = """
import numpy as np
from sim2real.task import Task

class Mine(Task):
    control_dt, episode_s = {control_dt}, 1.0

    def observe(self, world):
        return {observed}

    def reward(self, world, action):
        return {reward}
"""
GOOD = {
    "control_dt": "0.02",
    "observed": '{"place": world.qpos, "speed": world.qvel}',
    "reward": '{"effort": -action[:, 0] ** 2}',
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"reward": '{"r": np.full(len(action), 1e308)}'},
            "over an episode of world 0 is not finite",
        ),
        ({"reward": '{f"r{world.steps[0]}": action[:, 0]}'}, r"reward: the terms are \['r1'\]"),
        (
            {"observed": '{f"o{world.steps[0]}": world.qpos}'},
            r"observe: the terms and their sizes are \[\('o1', 1\)\]",
        ),
        (
            {"observed": '{"o": np.zeros((2, 1 + int(world.steps[0])))}'},
            r"observe: the terms and their sizes are \[\('o', 2\)\]",
        ),
        ({"reward": '{"r": action[:, 0] * 1j}'}, "reward: r must be real numbers, got complex"),
        ({"reward": "action[:, 0]"}, "reward must return a dictionary of named terms"),
        ({"observed": "world.qpos"}, "observe must return a dictionary of named terms"),
        ({"control_dt": '"a"'}, "is 'a'; allowed: a number of seconds"),
    ],
)
def test_a_fault_is_one_line(changes: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TASK.format(**GOOD | changes))
    shutil.copy(ROBOTS / "slider.xml", tmp_path / "mine.xml")
    with pytest.raises(UserError, match=message):
        step_three_times(str(tmp_path / "mine.py"))


def step_three_times(task: str) -> None:
    simulation = Simulation(load_task(task), num_envs=2, threads=1)
    for _ in range(3):
        simulation.step(np.zeros((2, 1)))


@pytest.mark.parametrize("action", [np.full((2, 1), 1j), np.full((2, 1), None, dtype=object)])
def test_an_action_of_no_real_numbers(action: np.ndarray) -> None:
    simulation = Simulation(str(ROBOTS / "slider.py"), num_envs=2, threads=1)
    with pytest.raises(UserError, match="the action must be real numbers"):
        simulation.step(action)
