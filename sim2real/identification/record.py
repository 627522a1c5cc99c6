"""Record a log in simulated worlds of any task, with exploration noise if it is asked for."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from stable_baselines3.common.vec_env import VecEnv

from sim2real.config import MOST_EPISODES
from sim2real.domains.model_fields.elements import element_rows
from sim2real.domains.model_fields.table import STRENGTH
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.rollout import Policy
from sim2real.identification.excitation import Excitation
from sim2real.identification.log import Log
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.simulation.history import newest_of
from sim2real.task import Array, BoolArray, IntArray, ObservationTerm, Task

MOST_RECORDED = 1_000_000
"""Control steps of a log, at most: it is kept in memory until it is whole."""
REWARD = "reward"
"""The extra of a log that has the rewards."""


def record(
    worlds: Simulation | VecEnv,
    act: Policy | ArrayLike,
    steps: int,
    noise: float | Excitation = 0.0,
    seed: int = 0,
    deterministic: bool = True,
    episodes: int | None = None,
) -> Log:
    """Let `act` command the `worlds` for `steps` control steps in all; return the log.

    `worlds` are a Simulation or a VecEnv of `make_vec_env` or of a target, wrapped or not, which is
    reset first and stays open; `steps` are rounded down to whole steps of all of them. `act` is a
    policy, or the actions themselves: (t, nu) for all worlds alike, or (t, num_envs, nu).
    `noise` is the standard deviation, in halves of the range of an action, of white normal noise
    added to every action, or an Excitation; it is drawn from `seed`, and what leaves the range is
    clipped.
    The episodes of the first world come first; the last one of each world is cut where the steps
    end. Recording stops before, when `episodes` episodes have ended in all worlds together. The
    extra "reward" of a row is that of the control step which begins there, and 0 in the last row
    of an episode. Raises UserError for too few steps or actions, and what the worlds raise.
    """
    env = SimVecEnv(worlds) if isinstance(worlds, Simulation) else worlds
    whole_number("steps", steps, env.num_envs, MOST_RECORDED)
    if episodes is not None:
        whole_number("episodes", episodes, 1, MOST_EPISODES)
    count = steps // env.num_envs
    actions = _Actions(env, act, count, noise, seed, deterministic)
    rows = list(_until(episodes, _rows(env, actions, count)))
    strips = [strip for world in range(env.num_envs) for strip in _strips(rows, world)]
    return _log(env, strips)


def actuator_names(task: Task) -> tuple[str, ...]:
    """The names of the actuators; an unnamed one is called after the joint that it drives."""
    return tuple(element_rows(task.compile(), STRENGTH, ()))


@dataclass(frozen=True)
class _Row:
    """One control step of n worlds: what was observed before and after it, and what was commanded.

    Shapes: observations (n, k); command (n, nu); reward, seconds, done, terminated (n,).
    """

    before: Array
    command: Array
    reward: Array
    seconds: Array
    after: Array
    done: BoolArray
    terminated: BoolArray


@dataclass(frozen=True)
class _Strip:
    """One episode of one world: m + 1 rows of times, commands and observations."""

    times: Array
    commands: Array
    observations: Array
    rewards: Array
    terminated: bool


class _Actions:
    """The actions of a policy, or given ones, with noise."""

    def __init__(
        self,
        env: VecEnv,
        act: Policy | ArrayLike,
        count: int,
        noise: float | Excitation,
        seed: int,
        deterministic: bool,
    ) -> None:
        excitation = noise if isinstance(noise, Excitation) else Excitation((noise,))
        space = env.action_space
        self._low, self._high = space.low, space.high  # type: ignore[attr-defined]
        dt, rng = env.get_attr("dt")[0], np.random.default_rng(seed)
        drawn = excitation.draw((count, env.num_envs, len(self._low)), dt, rng)
        self._noise = 0.5 * (self._high - self._low) * drawn
        self._policy = act if hasattr(act, "predict") else None
        self._deterministic = deterministic
        shape = (env.num_envs, *self._low.shape)
        self._given = np.zeros((0, *shape)) if self._policy else _given(act, count, shape)

    def at(self, step: int, observation: Array) -> NDArray[np.float32]:
        """The actions at a step, (n, nu)."""
        if self._policy is None:
            action = self._given[step]
        else:
            action, _ = self._policy.predict(observation, deterministic=self._deterministic)
        action = action + self._noise[step]
        clipped: NDArray[np.float32] = np.clip(action, self._low, self._high).astype(np.float32)
        return clipped


def _given(actions: object, count: int, shape: tuple[int, ...]) -> Array:
    """Given actions, (t, n, nu)."""
    array = np.asarray(actions, dtype=np.float64)
    each = array[:, None] if array.ndim == 2 else array
    if each.ndim != 3 or len(each) < count or each.shape[1:] not in (shape, (1, *shape[1:])):
        raise UserError(f"the actions are {array.shape}; allowed: {(count, *shape[1:])} or more")
    return np.broadcast_to(each, (len(each), *shape))


def _rows(env: VecEnv, actions: _Actions, count: int) -> Iterator[_Row]:
    before = np.array(env.reset())
    for step in range(count):
        observation, reward, done, infos = env.step(actions.at(step, before))
        following = np.array(observation)
        after, terminated = following.copy(), done.copy()
        for world in np.flatnonzero(done):
            after[world] = infos[world]["terminal_observation"]
            terminated[world] = not infos[world]["TimeLimit.truncated"]
        command, seconds = (np.array(env.get_attr(name)[0]) for name in ("commanded", "step_s"))
        yield _Row(before, command, np.array(reward), seconds, after, done, terminated)
        before = following


def _until(episodes: int | None, rows: Iterator[_Row]) -> Iterator[_Row]:
    """The rows up to that in which the last of so many episodes ends."""
    ended = 0
    for row in rows:
        yield row
        ended += int(np.sum(row.done))
        if episodes is not None and ended >= episodes:
            return


def _strips(rows: Sequence[_Row], world: int) -> Iterator[_Strip]:
    """The episodes of one world."""
    ends = [index + 1 for index, row in enumerate(rows) if row.done[world]]
    bounds = list(dict.fromkeys([0, *ends, len(rows)]))
    for first, end in itertools.pairwise(bounds):
        own, last = rows[first:end], rows[end - 1]
        yield _Strip(
            times=np.cumsum([0.0, *(row.seconds[world] for row in own)]),
            commands=np.array([row.command[world] for row in (*own, last)]),
            observations=np.array([*(row.before[world] for row in own), last.after[world]]),
            rewards=np.array([*(row.reward[world] for row in own), 0.0]),
            terminated=bool(last.terminated[world]),
        )


def _log(env: VecEnv, strips: Sequence[_Strip]) -> Log:
    task, terms, dt = (env.get_attr(name)[0] for name in ("task", "policy_terms", "dt"))
    terms = [term for term in terms if not term.commanded or term.name in task.commanded]
    lengths = [len(strip.times) for strip in strips]
    observed = np.concatenate([strip.observations for strip in strips])
    return Log(
        times=np.concatenate([strip.times for strip in strips]),
        commands=np.concatenate([strip.commands for strip in strips]),
        actuators=actuator_names(task),
        observations=newest_terms(terms, observed),
        control_dt=dt,
        starts=np.cumsum([0, *lengths[:-1]]),
        terminated=np.array([strip.terminated for strip in strips]),
        units={term.name: term.unit for term in terms if term.unit},
        extras={REWARD: np.concatenate([strip.rewards for strip in strips])[:, None]},
    )


def newest_terms(terms: Sequence[ObservationTerm], observations: Array) -> dict[str, Array]:
    """Each of the policy's `terms` in `observations` (n, k), without its history, by name."""
    newest, columns = newest_columns(terms)
    bounds = np.cumsum([0, *(term.size for term in newest)])
    readings = observations[:, columns]
    return {
        term.name: readings[:, low:high]
        for term, (low, high) in zip(newest, itertools.pairwise(bounds), strict=True)
    }


def newest_columns(
    terms: Sequence[ObservationTerm],
) -> tuple[tuple[ObservationTerm, ...], IntArray]:
    """The policy's `terms` without their histories, and their columns in an observation, (k,)."""
    present = [newest_of(term) for term in terms]
    starts = np.cumsum([0, *(term.size for term in terms)])
    newest = [
        dataclasses.replace(term, size=len(columns), columns=())
        for term, columns in zip(terms, present, strict=True)
    ]
    columns = [start + own for start, own in zip(starts, present, strict=False)]
    return tuple(newest), np.concatenate(columns)
