"""What the tasks of the desk arm in arm.xml have in common: its servos follow targets in steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, IntArray, Task, World, within

JOINTS = slice(0, 5)
"""Where the arm's joints stand in qpos and qvel: pan, lift, elbow, wrist flex, wrist roll."""
LOW = np.array([-1.920, -1.745, -1.690, -1.658, -2.793])
HIGH = -LOW
"""rad; the ranges in arm.xml."""
PAN = np.array([0.03884, 0.0])
"""x, y of the axis of the first joint, m."""
SPEED = 2.5
"""rad/s; how fast targets move at an action of 1, about half of what the servos can do."""


class ArmTask(Task):
    """An arm of five servos: an action moves their targets by so much of the fastest step.

    The targets are in `memory`, as a bus servo stores its goal position.
    """

    control_dt = 0.04  # s, as in Peng et al. 2018 (arXiv:1710.06537)
    action_limits: ClassVar = (-1.0, 1.0)
    memory: ClassVar = {"target": 5, "goal": 3}
    home: ClassVar[Array]
    """The posture at the start, (5,) in rad."""
    reach: ClassVar[tuple[float, float]]
    """Smallest and largest distance of goals from the axis of the first joint, m."""
    azimuth: ClassVar[float]
    """Largest angle of goals from straight ahead of the arm, rad."""
    height: ClassVar[tuple[float, float]]
    """Lowest and highest place of goals above the table, m."""

    def __init__(self, goal: Sequence[float] | None = None) -> None:
        super().__init__(**({} if goal is None else {"goal": goal}))
        self.goal = None if goal is None else self._checked(goal)

    def control(self, world: World, action: NDArray[Any]) -> NDArray[Any]:
        target: Array = world.memory["target"]
        np.clip(target + self.control_dt * SPEED * action, LOW, HIGH, out=target)
        return target.copy()

    def pose(self, world: World, ids: IntArray, offset: Array) -> None:
        """Put the worlds `ids` `offset` (m, 5) rad from the start posture, with targets there."""
        world.qpos[ids, JOINTS] = world.memory["target"][ids] = self.home + offset

    def aim(self, world: World, ids: IntArray, goal: Array) -> None:
        """Set the goals of the worlds `ids`, (m, 3) in m, or the one asked for; draw them there."""
        asked = goal if self.goal is None else self.goal
        world.memory["goal"][ids] = asked
        world.mocap_pos[ids, 0] = asked

    def _checked(self, goal: Sequence[float]) -> Array:
        """x, y, z of a goal that somebody asks for; UserError where the arm does not reach."""
        place = within("goal", goal, [-1.0] * 3, [1.0] * 3)
        ahead, aside = place[:2] - PAN
        within(
            "distance of the goal from the first axis, m,",
            float(np.hypot(ahead, aside)),
            *self.reach,
        )
        within(
            "azimuth of the goal, rad,",
            float(np.arctan2(aside, ahead)),
            -self.azimuth,
            self.azimuth,
        )
        within("height of the goal, m,", float(place[2]), *self.height)
        return place


def off_axis(radius: Array, azimuth: Array) -> Array:
    """x, y of points so many m from the axis of the first joint, (m, 2)."""
    points: Array = PAN + radius[:, None] * np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    return points


def smoothness(world: World, action: NDArray[Any]) -> Array:
    """The mean square of how much the action differs from the one before, (n,)."""
    change = action - world.last_action
    squares: Array = np.einsum("ij,ij->i", change, change) / change.shape[1]
    return squares


def length(vectors: Array) -> Array:
    """Of each row of (n, k), (n,)."""
    lengths: Array = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return lengths
