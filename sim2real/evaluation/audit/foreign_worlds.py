"""Worlds of a foreign environment, with the interface that an audit uses of a simulation."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sim2real.domains import Domain, bind
from sim2real.errors import UserError
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.domain_wrapper import DomainWrapper
from sim2real.simulation.front_ends.foreign import (
    ForeignEnv,
    Terms,
    check_foreign,
    subject_of,
)
from sim2real.task import Array, BoolArray, IntArray, Task

Audited: TypeAlias = Task | ForeignEnv
"""A task or a foreign environment."""
LONGEST = 1000
"""Control steps of an episode of an environment without a time limit."""


@dataclass(frozen=True)
class Step:
    """The results of one control step: observation (n, k), reward (n,), unstable (n,)."""

    observation: Array
    reward: Array
    unstable: BoolArray


class ForeignWorlds:
    """`num_envs` environments in a domain, stepped one after the other.

    World i runs episode number i of `seed`, on past its end, as an audit does. Raises UserError for
    a domain that does not fit, and for actions that are no bounded Box.
    """

    def __init__(self, env: ForeignEnv, domain: Domain, num_envs: int, seed: int) -> None:
        self.num_envs, self.domain = num_envs, domain
        self._envs = [_wrapped(env, domain) for _ in range(num_envs)]
        first = self._envs[0]
        self._terms = Terms(first.observation_space)
        self.observation_terms = self._terms.terms
        self.action_space = _bounded(env.name, first.action_space)
        subject = subject_of(first.env)
        self.dt = subject.control_dt
        limited = np.isfinite(subject.episode_s)
        self.episode_steps = round(subject.episode_s / self.dt) if limited else LONGEST
        self.context_names = first.context_names
        self.model: mujoco.MjModel = copy.copy(first.unwrapped.model)  # type: ignore[attr-defined]
        with _quiet():
            for episode, one in enumerate(self._envs):
                one.reset(seed=seed, options={"episode": episode})

    @property
    def _data(self) -> list[mujoco.MjData]:
        return [env.unwrapped.data for env in self._envs]  # type: ignore[attr-defined]

    @property
    def qpos(self) -> Array:
        """A copy of the positions, (n, nq)."""
        return np.array([data.qpos for data in self._data])

    @property
    def qvel(self) -> Array:
        """A copy of the velocities, (n, nv)."""
        return np.array([data.qvel for data in self._data])

    @property
    def actuator_force(self) -> Array:
        """A copy of the forces of the actuators, (n, nu)."""
        return np.array([data.actuator_force for data in self._data])

    @property
    def warning_counts(self) -> IntArray:
        """How often MuJoCo warned in each world, (n, kinds)."""
        kinds = range(int(mujoco.mjtWarning.mjNWARNING))
        return np.array([[data.warning[kind].number for kind in kinds] for data in self._data])

    def push(self, change: Array) -> None:
        """Add to the velocities, (n, nv)."""
        for data, row in zip(self._data, change, strict=True):
            data.qvel[:] += row

    def advance(self, actions: NDArray[Any]) -> Step:
        """One control step with `actions` (n, nu)."""
        with _quiet():
            made = [env.step(action) for env, action in zip(self._envs, actions, strict=True)]
        return Step(
            np.array([self._terms.numbers(observation) for observation, *_ in made]),
            np.array([float(reward) for _, reward, *_ in made]),
            np.array([bool(info["unstable"]) for *_, info in made]),
        )

    def world_model(self, world: int) -> mujoco.MjModel:
        """A copy of the model of one world."""
        return copy.copy(self._envs[world].unwrapped.model)  # type: ignore[attr-defined]

    def contexts(self) -> list[dict[str, float]]:
        """The drawn values of each world."""
        return [env.context for env in self._envs]


Worlds: TypeAlias = Simulation | ForeignWorlds


def worlds_of(subject: Audited, domain: Domain, num_envs: int, seed: int) -> Worlds:
    """`num_envs` worlds of `subject` in `domain`."""
    if isinstance(subject, Task):
        return Simulation(subject, domain, num_envs=num_envs, seed=seed)
    return ForeignWorlds(subject, domain, num_envs, seed)


def context_names_of(subject: Audited, domain: Domain) -> tuple[str, ...]:
    """The names of the values that `domain` draws for an episode."""
    if isinstance(subject, Task):
        return Simulation(subject, domain, threads=1).context_names
    check_foreign(domain)
    return bind(domain, *subject.subject).names


def _wrapped(env: ForeignEnv, domain: Domain) -> DomainWrapper:
    with _quiet():
        return DomainWrapper(env.make(), domain)


def _bounded(name: str, space: spaces.Space[Any]) -> spaces.Box:
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or not space.is_bounded():
        raise UserError(f"{name} has the actions {space}; an audit needs a bounded row of numbers")
    return space


def _quiet() -> warnings.catch_warnings[None]:
    """Nothing of what Gymnasium warns of: an audit steps on past the end of an episode."""
    return warnings.catch_warnings(action="ignore")
