"""Humanoid: a simple human walks forward. Equals Gymnasium's Humanoid-v5 without contact forces."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.envs._gymnasium import (
    TouchingTask,
    between,
    bonus,
    control_cost,
)
from sim2real.task import Array, BoolArray, World, gymnasium_asset


class Humanoid(TouchingTask):
    """A simple human of 13 bodies and 17 joints walks along x (Tassa, Erez & Todorov 2012).

    | action | motor at                          | range | torque at 0.4 |
    |--------|-----------------------------------|-------|---------------|
    | 0-2    | abdomen y, z, x                   | ±0.4  | 40 N m        |
    | 3-5    | right hip x, z, y                 | ±0.4  | 40, 40, 120   |
    | 6      | right knee                        | ±0.4  | 80 N m        |
    | 7-9    | left hip x, z, y                  | ±0.4  | 40, 40, 120   |
    | 10     | left knee                         | ±0.4  | 80 N m        |
    | 11-13  | right shoulder 1, 2, right elbow  | ±0.4  | 10 N m        |
    | 14-16  | left shoulder 1, 2, left elbow    | ±0.4  | 10 N m        |

    | index   | term            | observed                                        | unit       |
    |---------|-----------------|-------------------------------------------------|------------|
    | 0       | position        | height of the torso                             | m          |
    | 1-4     | position        | orientation of the torso, quaternion w x y z    |            |
    | 5-21    | position        | joint angles: abdomen z y x, right hip x z y,   | rad        |
    |         |                 | right knee, left hip x z y, left knee, right    |            |
    |         |                 | shoulder 1 2, right elbow, left shoulder 1 2,   |            |
    |         |                 | left elbow                                      |            |
    | 22-24   | velocity        | velocity of the torso along x, y, z             | m/s        |
    | 25-27   | velocity        | angular velocity of the torso, its own axes     | rad/s      |
    | 28-44   | velocity        | joint rates, in the order of 5-21               | rad/s      |
    | 45-174  | inertia         | of each body about the centre of mass: inertia  | kg m², kg  |
    |         |                 | (6), mass times offset (3), mass (1)            | m, kg      |
    | 175-252 | body_velocity   | of each body about the centre of mass: angular  | rad/s, m/s |
    |         |                 | (3), linear (3)                                 |            |
    | 253-269 | actuator_torque | torque of the motors, in the order of 5-21      | N m        |
    | 270-347 | contact_force   | only with `contact_forces`: torque (3) and      | N m, N     |
    |         |                 | force (3) on each body                          |            |

    Reward: 1.25 times the velocity of the centre of mass along x, +5 while healthy, -0.1
    |action|². It fails when the torso leaves 1 to 2 m. The option `contact_forces` observes them
    and takes 5e-7 of their squares, at most 10, off the reward; they are those at the start of the
    last physics step, where Gymnasium has those of its last Runge-Kutta stage, so without them
    alone the two are equal.
    """

    model = gymnasium_asset("humanoid.xml")
    control_dt, episode_s = 0.015, 15.0
    units: ClassVar = {
        "position": "m, quaternion, rad",
        "velocity": "m/s, rad/s",
        "inertia": "kg m^2, kg m, kg",
        "body_velocity": "rad/s, m/s",
        "actuator_torque": "N m",
    }
    remembers = ("xipos",)
    camera: ClassVar = {"trackbodyid": 1, "distance": 4.5, "elevation": -15.0, "azimuth": 90.0}
    start_noise = 0.01

    def observe(self, world: World) -> dict[str, Array]:
        n = world.num_envs
        terms = {
            "position": world.qpos[:, 2:],
            "velocity": world.qvel,
            "inertia": world.cinert[:, 1:].reshape(n, -1),
            "body_velocity": world.cvel[:, 1:].reshape(n, -1),
            "actuator_torque": world.qfrc_actuator[:, 6:],
        }
        if self.contact_forces:
            terms["contact_force"] = world.cfrc_ext[:, 1:].reshape(n, -1)
        return terms

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        mass = _body_mass(world)
        moved = _centre_x(mass, world.xipos) - _centre_x(mass, world.previous["xipos"])
        terms = {
            "forward": 1.25 * (moved / world.step_s),
            "healthy": bonus(self.healthy(world), 5.0),
            "control": -control_cost(action.astype(np.float64), 0.1),
        }
        if self.contact_forces:
            cost = 5e-7 * np.square(world.cfrc_ext).sum(axis=(1, 2))
            terms["contact"] = -np.minimum(cost, 10.0)
        return terms

    def healthy(self, world: World) -> BoolArray:
        return between(world.qpos[:, 2], 1.0, 2.0)


def _body_mass(world: World) -> Array:
    """Mass of each body in each world. Shape: (n, nbody); kg."""
    drawn = world.expanded("body_mass")
    mass: Array = world.model.body_mass if drawn is None else drawn
    return np.broadcast_to(mass, (world.num_envs, mass.shape[-1]))


def _centre_x(mass: Array, position: Array) -> Array:
    """Centre of mass along x, from (n, nbody) masses and (n, nbody, 3) positions. Shape: (n,); m.

    All three axes are summed, as in Gymnasium, so that einsum adds in the same order.
    """
    total: Array = np.einsum("nb,nbj->nj", mass, position)
    centre: Array = total[:, 0] / mass.sum(axis=1)
    return centre
