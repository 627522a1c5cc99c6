"""A position servo that swings a mass on a rod: the bench of the logs beside this file."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim2real.task import Array, IntArray, Rng, Task, World


class Servo(Task):
    """A Dynamixel XL330 at 7.4 V turns a rod of 0.1 m with 0.49 kg at its end; 0 hangs down.

    | action | actuator | range | meaning |
    |--------|----------|-------|---------|
    | 0      | servo    | ±pi   | goal in rad |

    | index | term     | observed        | unit |
    |-------|----------|-----------------|------|
    | 0     | position | angle of the rod | rad |

    Reward: minus the squared distance from the goal.
    """

    control_dt, episode_s = 0.02, 6.0  # s
    units = {"position": "rad"}
    camera = {"distance": 0.5}

    def observe(self, world: World) -> dict[str, Array]:
        return {"position": world.qpos}

    def reward(self, world: World, action: Any) -> dict[str, Array]:
        return {"tracking": -np.square(world.qpos[:, 0] - action[:, 0])}

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        world.qpos[ids] = rng.uniform(-0.1, 0.1, (len(ids), 1))
