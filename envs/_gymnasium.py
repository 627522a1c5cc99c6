"""What the tasks share that Gymnasium also has: its start states and its arithmetic, bit for bit.

Gymnasium computes one world at a time, partly with NumPy scalars. The functions here do the same
for all worlds at once and round in the same way, so that rewards equal its v5 environments to the
last bit; tests/envs/test_parity.py holds them to it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, BoolArray, IntArray, Rng, Task, World


class GymnasiumTask(Task):
    """A task of Gymnasium's: body positions as `mj_step` leaves them, noise on the start state."""

    derived_fields = "lagged"
    start_noise: ClassVar[float]
    """Half width of the uniform noise on `qpos` and `qvel` at the start; in their units."""
    start_velocity: ClassVar[Literal["uniform", "normal"]] = "uniform"
    """Distribution of the noise on `qvel`; "normal" has standard deviation `start_noise`."""

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        noise, model = self.start_noise, world.model
        world.qpos[ids] += rng.uniform(-noise, noise, (len(ids), model.nq))
        if self.start_velocity == "normal":
            world.qvel[ids] += noise * rng.standard_normal((len(ids), model.nv))
        else:
            world.qvel[ids] += rng.uniform(-noise, noise, (len(ids), model.nv))


class HealthyTask(GymnasiumTask):
    """A task of Gymnasium's that fails once the robot is not healthy."""

    def healthy(self, world: World) -> BoolArray:
        """Which robots are healthy, (n,)."""
        raise NotImplementedError("def healthy(self, world) -> (n,) bool array")

    def failed(self, world: World) -> BoolArray:
        return ~self.healthy(world)


class PlanarWalker(HealthyTask):
    """A robot of legs that is to walk along x in a vertical plane, as Hopper and Walker2d do."""

    control_dt, episode_s = 0.008, 8.0
    units: ClassVar = {"position": "m, rad", "velocity": "m/s, rad/s"}
    remembers = ("qpos",)
    start_noise = 5e-3

    def observe(self, world: World) -> dict[str, Array]:
        return {"position": world.qpos[:, 1:], "velocity": np.clip(world.qvel, -10, 10)}

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        forward = (world.qpos[:, 0] - world.previous["qpos"][:, 0]) / world.step_s
        return {
            "forward": forward,
            "healthy": bonus(self.healthy(world), 1.0),
            "control": -control_cost(action, 1e-3),
        }


class TouchingTask(HealthyTask):
    """A task that observes the contact forces of all bodies, with the option `contact_forces`."""

    def __init__(self, contact_forces: bool = False) -> None:
        super().__init__(contact_forces=contact_forces)
        self.contact_forces = contact_forces
        if contact_forces:
            units = self.units | {"contact_force": "N m, N"}
            self.units = units  # type: ignore[misc]  # this one's, not the class's

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Have `cfrc_ext` computed in every step, which MuJoCo does for force sensors alone."""
        if self.contact_forces:
            spec.body("torso").add_site(name="contact_forces")
            spec.add_sensor(
                name="contact_forces",
                type=mujoco.mjtSensor.mjSENS_FORCE,
                objtype=mujoco.mjtObj.mjOBJ_SITE,
                objname="contact_forces",
            )


def control_cost(action: NDArray[Any], weight: float) -> NDArray[Any]:
    """`weight` times the sum of squared actions, in the precision of `action`. Shape: (n,).

    The order is fixed because NumPy sums contiguous numbers pairwise and strided ones in turn.
    """
    cost: NDArray[Any] = weight * np.sum(np.square(action, order="C"), axis=1)
    return cost


def bonus(healthy: BoolArray, value: float) -> Array:
    """`value` where `healthy`, else 0. Shape: (n,)."""
    return healthy * np.float64(value)


def between(values: Array, low: float, high: float) -> BoolArray:
    """Whether low < value < high, false for NaN. Shape: that of `values`."""
    return (low < values) & (values < high)


def norm(vectors: Array) -> Array:
    """`np.linalg.norm` of every row. Shape: (n, k) -> (n,).

    That is the root of a BLAS dot product, which `np.vecdot` also calls for each row; a sum of
    squares, and `norm` with an axis, round differently in one case of ten.
    """
    lengths: Array = np.sqrt(np.vecdot(vectors, vectors))
    return lengths


def squared(values: Array) -> Array:
    """`np.float64(x) ** 2` of every element, the C library's pow. Shape: that of `values`.

    An array's `** 2` is x * x, which rounds differently in one case of 1,200, and `np.power` may
    take vector instructions that differ in one of 40. So the scalars are squared one by one.
    """
    with np.errstate(over="ignore"):
        return np.array([value**2 for value in values.ravel()]).reshape(values.shape)
