"""Small models on a bench, in other engines than MuJoCo."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from sim2real.domains import Domain
from sim2real.simulation import Simulation
from sim2real.task import Array, Task, World


class Bench(Task):
    """A task of any model with one motor or none."""

    control_dt, episode_s = 0.01, 10.0

    def __init__(self, xml: str) -> None:
        super().__init__()
        self._xml = xml

    def spec(self, file: Any = None) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(f"<mujoco>{self._xml}</mujoco>")

    def observe(self, world: World) -> dict[str, Array]:
        return {"position": world.qpos, "velocity": world.qvel}

    def reward(self, world: World, action: Any) -> dict[str, Array]:
        return {"none": np.zeros(world.num_envs)}


def bench(
    body: str, actuator: str = "", options: str = 'timestep="0.001"', assets: str = ""
) -> Bench:
    """A task of a `body`; without an `actuator`, one moves another body far away."""
    motor = actuator or '<motor name="m" joint="idle" ctrlrange="-1 1"/>'
    idle = (
        ""
        if actuator
        else '<body pos="9 9 9"><joint name="idle" type="slide" axis="1 0 0"/>'
        '<geom size="0.1" mass="1" contype="0" conaffinity="0"/></body>'
    )
    return Bench(
        f"<asset>{assets}</asset><option {options}/><worldbody>{body}{idle}</worldbody>"
        f"<actuator>{motor}</actuator>"
    )


def in_drake(task: str | Task, num_envs: int = 1, seed: int = 0, **domain: Any) -> Simulation:
    return Simulation(task, Domain(**{"engine": "drake", **domain}), num_envs, seed)


def in_warp(task: str | Task, num_envs: int = 1, seed: int = 0, **domain: Any) -> Simulation:
    engine = {"name": "warp", "device": "cpu"}
    return Simulation(task, Domain(**{"engine": engine, **domain}), num_envs, seed)


def steps(simulation: Simulation, count: int, action: float = 0.0) -> None:
    shape = (simulation.num_envs, simulation.model.nu)
    for _ in range(count):
        simulation.advance(np.full(shape, action, dtype=np.float32))
