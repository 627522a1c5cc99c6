"""Motion under fixed commands: the same for the nominal world and for every changed one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain
from sim2real.evaluation.audit.foreign_worlds import Audited, Worlds, worlds_of
from sim2real.simulation import Simulation
from sim2real.task import Array, BoolArray

SEED = 20_260
COMMANDS = ("no command", "random commands", "full commands", "small commands")
"""The commands of the four worlds of a rollout."""
WORLDS = len(COMMANDS)
SETTLE_S = 1.0
"""Simulated seconds of a rollout, within the numbers of control steps that follow."""
FEWEST, MOST = 20, 80
PUSH = 0.3
"""Standard deviation of the velocities at the start of all but the first world; in their units."""
TWIN = 1e-14
"""The difference in speed between the starts of the nominal world and its twin, m/s and rad/s."""


@dataclass(frozen=True)
class Motion:
    """A recorded rollout, the time first.

    Shapes: qpos (t, n, nq), force (t, n, nu), observation (t, n, k), reward (t, n). `sound` (t, n)
    is False from where a world became unstable on; `warnings` are MuJoCo's, by name.
    """

    qpos: Array
    qvel: Array
    force: Array
    observation: Array
    reward: Array
    sound: BoolArray
    warnings: dict[str, int]

    def some_states(self) -> tuple[Array, Array]:
        """Sound states at five moments: qpos (m, nq) and qvel (m, nv)."""
        when = np.linspace(0, len(self.qpos) - 1, 5).astype(int)
        sound = self.sound[when]
        return self.qpos[when][sound], self.qvel[when][sound]


class Rollout:
    """Worlds of a domain under the fixed commands, recorded as far as `upto` asks."""

    def __init__(
        self, task: Audited, domain: Domain, num_envs: int = WORLDS, twin: float = 0
    ) -> None:
        self.simulation = worlds_of(task, domain, num_envs, SEED)
        simulation = self.simulation
        rng = np.random.default_rng(SEED)
        push = PUSH * rng.standard_normal((num_envs, simulation.model.nv))
        push[::WORLDS] = 0.0
        self.start = simulation.qpos.copy()
        if isinstance(simulation, Simulation):
            simulation.qvel[:] += push + twin
            simulation.actuator_force  # noqa: B018 (bound from now on)
        else:
            simulation.push(push + twin)
        self._rows: list[tuple[NDArray[Any], ...]] = []

    def upto(self, steps: int) -> Motion:
        """The first `steps` control steps (at most an episode)."""
        steps = min(steps, self.simulation.episode_steps)
        while len(self._rows) < steps:
            self._rows.append(self._step(len(self._rows)))
        columns = [np.array(column) for column in zip(*self._rows[:steps], strict=True)]
        qpos, qvel, force, observation, reward, unstable = columns
        sound = ~np.logical_or.accumulate(unstable, axis=0)
        return Motion(qpos, qvel, force, observation, reward, sound, self._warnings())

    def _step(self, step: int) -> tuple[NDArray[Any], ...]:
        simulation = self.simulation
        made = simulation.advance(self._commands[step])
        state = (simulation.qpos, simulation.qvel, simulation.actuator_force)
        return tuple(
            np.array(values) for values in (*state, made.observation, made.reward, made.unstable)
        )

    @functools.cached_property
    def _commands(self) -> NDArray[np.float32]:
        """(episode steps, n, nu): the same for every domain of the task."""
        simulation = self.simulation
        low, high = simulation.action_space.low, simulation.action_space.high
        rest = np.clip(np.zeros_like(low), low, high)
        steps, size = simulation.episode_steps, len(low)
        rng = np.random.default_rng(SEED)
        groups = []
        for _ in range(-(-simulation.num_envs // WORLDS)):
            random = np.repeat(rng.uniform(low, high, (steps // 4 + 1, size)), 4, axis=0)[:steps]
            full = np.where(rng.random((steps // 6 + 1, size)) < 0.5, low, high)
            full = np.repeat(full, 6, axis=0)[:steps]
            small = rest + 0.1 * (rng.uniform(low, high, (steps, size)) - rest)
            groups += [np.broadcast_to(rest, (steps, size)), random, full, small]
        return np.stack(groups[: simulation.num_envs], axis=1).astype(np.float32)

    def _warnings(self) -> dict[str, int]:
        """How often MuJoCo warned, by the warning's name."""
        counts = self.simulation.warning_counts.sum(axis=0)
        names = [
            mujoco.mjtWarning(kind).name.removeprefix("mjWARN_") for kind in range(len(counts))
        ]
        return {name: int(n) for name, n in zip(names, counts, strict=True) if n}


def usual_steps(simulation: Worlds) -> int:
    """Control steps of a rollout, unless a probe needs more."""
    return min(
        int(np.clip(round(SETTLE_S / simulation.dt), FEWEST, MOST)), simulation.episode_steps
    )
