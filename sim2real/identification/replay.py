"""Replays of a log: worlds that get its commands, each in a context and from a state of its own."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np

from sim2real.identification.candidates import LATEST
from sim2real.identification.family import Family
from sim2real.identification.record import newest_columns
from sim2real.simulation import Simulation
from sim2real.task import Array, BoolArray, IntArray, ObservationTerm, Task, World

_PLAIN = ("control", "start", "redraw", "failed", "succeeded")


def open_loop(task: Task, plain: Sequence[str] = _PLAIN) -> Task:
    """The task without its own commands, start states, rewards and ends: an action is a command.

    What is in `plain` is that of a task that defines nothing; the commands must be among it.
    """
    kind = type(task)

    def reward(self: Task, world: World, action: Array) -> dict[str, Array]:
        return {"none": np.zeros(world.num_envs)}

    own: dict[str, Any] = {name: getattr(Task, name) for name in plain}
    own |= {"reward": reward, "action_limits": None}
    own |= {"redraw_s": None} if "redraw" in plain else {}
    replayed = copy.copy(task)
    replayed.__class__ = type(kind.__name__, (kind,), {**own, "__module__": kind.__module__})
    return replayed


def unrounded(task: Task) -> Task:
    """The task with encoders that show exact values, so that readings have slopes."""
    kind = type(task)
    found = copy.copy(task)
    own = {"__module__": kind.__module__, "counted": lambda self, values, step: values}
    found.__class__ = type(kind.__name__, (kind,), own)
    return found


@dataclass(frozen=True)
class Windows:
    """w windows of a log, with the same number of steps.

    Shapes: `commands` (w, before + steps, nu), of which the first `before` control steps fill the
    delay lines; `observations` (w, steps + 1, k), those of the row where a window begins and of
    every row after a step; `qpos` (w, nq) and `qvel` (w, nv), the state at that first row;
    `memory` by name (w, before + steps + 1, m), the task's memory at every row; `first` (w,), the
    row of the log where a window begins; `known` by name (w,), what is known of a window's world.
    """

    commands: Array
    observations: Array
    qpos: Array
    qvel: Array
    memory: Mapping[str, Array]
    first: IntArray
    before: int
    known: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.commands)

    @property
    def steps(self) -> int:
        """Control steps that are compared."""
        return int(self.commands.shape[1]) - self.before

    def memory_at(self, row: int) -> dict[str, Array]:
        """The task's memory at a row of the windows, counted with those `before`."""
        return {name: values[:, row] for name, values in self.memory.items()}

    def first_rows(self) -> Windows:
        """The windows without any step and without what comes before."""
        return Windows(
            self.commands[:, :0],
            self.observations[:, :1],
            self.qpos,
            self.qvel,
            {name: one[:, self.before : self.before + 1] for name, one in self.memory.items()},
            self.first,
            0,
            self.known,
        )

    def take(self, rows: IntArray | slice) -> Windows:
        """Some of the windows."""
        return Windows(
            self.commands[rows],
            self.observations[rows],
            self.qpos[rows],
            self.qvel[rows],
            {name: one[rows] for name, one in self.memory.items()},
            self.first[rows],
            self.before,
            {name: one[rows] for name, one in self.known.items()},
        )


def joined(several: Sequence[Windows]) -> Windows:
    """The windows of several logs of one task."""
    return Windows(
        commands=np.concatenate([one.commands for one in several]),
        observations=np.concatenate([one.observations for one in several]),
        qpos=np.concatenate([one.qpos for one in several]),
        qvel=np.concatenate([one.qvel for one in several]),
        memory={
            name: np.concatenate([one.memory[name] for one in several])
            for name in several[0].memory
        },
        first=np.concatenate([one.first for one in several]),
        before=several[0].before,
        known={
            name: np.concatenate([one.known[name] for one in several]) for name in several[0].known
        },
    )


class Replay(Simulation):
    """n worlds of a family, each in a context that is given, under the commands of a log.

    Sensors have their steady imperfections (bias, scale, delay) and no noise: an encoder shows
    exact values, and its steps are noise of the log.
    """

    given: Array | None = None

    def __init__(self, family: Family, num_envs: int, threads: int = 0) -> None:
        super().__init__(
            open_loop(unrounded(family.task)), family.domain, num_envs, threads=threads
        )
        self.family = family
        terms, columns = newest_columns(self.policy_terms)
        self.sensed: tuple[ObservationTerm, ...] = terms
        self._newest = columns
        """The columns of the present readings in an observation, without histories."""
        self.simulated = 0
        """Control steps of all replays so far."""
        self.given = np.tile(family.contexts(family.nominal), (num_envs, 1))
        self.reset(np.arange(num_envs))

    @functools.cached_property
    def fill(self) -> int:
        """Control steps that fill the delay lines before a window; 0 where nothing is delayed."""
        longest = max((one.longest for one in self.domain.actuation), default=0.0)
        remembers = bool(self.plan.actuation) or self.model.nhistory or self.model.na
        return math.ceil(longest / self.dt) + 1 if remembers else 0

    @property
    def simulated_fill(self) -> int:
        """Control steps that are simulated before a window.

        None, where only the engine's delay lines remember commands: they are written.
        """
        remembers = self.plan.actuation or self.model.na or self.before_substep is not None
        return self.fill if remembers else 0

    @property
    def rows_before(self) -> int:
        """Rows of a log before a window, so that a family with a delay can replay it too."""
        return max(self.fill, LATEST + 1)

    def _draw_contexts(self, ids: IntArray) -> None:
        if self.given is None:
            super()._draw_contexts(ids)
        elif self.plan.names:
            self._contexts.begin(ids, self.given[ids])

    def run(
        self,
        shares: Array,
        windows: Windows,
        choice: IntArray,
        offset: Array,
        read: Callable[[IntArray], Array] | None = None,
    ) -> Array:
        """Replay m times: window `choice[i]` at the shares (m, d); readings (m, steps + 1, k).

        `offset` (m, 2 nv) is added to the states at the start, in the tangent space: positions,
        then velocities. What is not stable is NaN from there on. `read` gives something else than
        the sensors' readings, of the worlds with some indices.
        """
        n = self.num_envs
        pieces = [slice(first, first + n) for first in range(0, len(choice), n)]
        runs = [
            self._run(shares[one], windows.take(choice[one]), offset[one], read or self._readings)
            for one in pieces
        ]
        return np.concatenate(runs)

    def states(self, ids: IntArray) -> Array:
        """Positions and velocities of the worlds `ids` (m,), (m, nq + nv)."""
        found: Array = np.concatenate([self.qpos[ids], self.qvel[ids]], axis=1)
        return found

    def _run(
        self, shares: Array, own: Windows, offset: Array, read: Callable[[IntArray], Array]
    ) -> Array:
        """As `run`, with no more replays than worlds; the other worlds stand still."""
        count = len(own)
        ids = np.arange(count)
        self.given = np.zeros((self.num_envs, len(self.plan.names)))
        self.given[:count] = self.family.contexts(shares)
        for name, values in own.known.items():
            self.given[:count, self.plan.names.index(name)] = values
        self.reset(ids)
        qpos, qvel = moved(self.model, own.qpos, own.qvel, offset)
        self._fill_delays(ids, own, qpos, qvel)
        self._place(ids, qpos, qvel, own.memory_at(own.before))
        shown = [read(ids)]
        lost = np.zeros(count, dtype=bool)
        for step in range(own.before, own.before + own.steps):
            lost |= self._advance(ids, own, step)
            shown.append(np.where(lost[:, None], np.nan, read(ids)))
        return np.stack(shown, axis=1)

    def readings_at(self, qpos: Array, qvel: Array, memory: Mapping[str, Array]) -> Array:
        """What the sensors show in m states (m, nq), (m, nv), for any m; (m, k)."""
        n = self.num_envs
        pieces = [slice(first, first + n) for first in range(0, len(qpos), n)]
        return np.concatenate(
            [
                self._place(
                    np.arange(len(qpos[one])),
                    qpos[one],
                    qvel[one],
                    {name: values[one] for name, values in memory.items()},
                )
                for one in pieces
            ]
        )

    def _fill_delays(self, ids: IntArray, own: Windows, qpos: Array, qvel: Array) -> None:
        """Give the actuators of the worlds `ids` the commands before the windows.

        Where these steps are simulated, they begin in the states (m, nq), (m, nv).
        """
        unused = max(own.before - self.fill, 0)
        if own.before == unused:
            return
        if not self.simulated_fill:
            self.set_past_commands(ids, own.commands[:, unused : own.before], self.substeps)
            return
        self._place(ids, qpos, qvel, own.memory_at(unused))
        for step in range(unused, own.before):
            self._advance(ids, own, step)

    def _place(self, ids: IntArray, qpos: Array, qvel: Array, memory: Mapping[str, Array]) -> Array:
        for name, values in memory.items():
            self.memory[name][ids] = values
        self.write_state(qpos, qvel, ids)
        return self._readings(ids)

    def _advance(self, ids: IntArray, own: Windows, step: int) -> BoolArray:
        """One control step of the worlds `ids`; which of them became unstable."""
        for name, values in own.memory_at(step + 1).items():
            self.memory[name][ids] = values
        commands = np.zeros((self.num_envs, self.model.nu))
        commands[ids] = own.commands[:, step]
        self.simulated += len(ids)
        active = None if len(ids) == self.num_envs else self._all < len(ids)
        unstable: BoolArray = self.advance(commands, active).unstable[ids]
        return unstable

    def _readings(self, ids: IntArray) -> Array:
        """What the sensors of the worlds `ids` show at present, (m, k)."""
        readings: Array = self.observation[np.ix_(ids, self._newest)]
        return readings


def moved(model: mujoco.MjModel, qpos: Array, qvel: Array, offset: Array) -> tuple[Array, Array]:
    """States (n, nq), (n, nv) moved by `offset` (n, 2 nv) in the tangent space."""
    positions, velocities = offset[:, : model.nv], offset[:, model.nv :]
    if model.nq == model.nv:
        return qpos + positions, qvel + velocities
    new = qpos.copy()
    for row, change in zip(new, positions, strict=True):
        mujoco.mj_integratePos(model, row, change, 1.0)
    return new, qvel + velocities


def differences(model: mujoco.MjModel, earlier: Array, later: Array) -> Array:
    """The ways from positions (n, nq) to others in the tangent space, (n, nv)."""
    found = np.zeros((len(earlier), model.nv))
    for row, one, other in zip(found, earlier, later, strict=True):
        mujoco.mj_differentiatePos(model, row, 1.0, one, other)
    return found
