"""n independent worlds of one task in one domain, stepped together on native threads."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim2real.config import LAST_SIMULATION_SEED, MOST_HISTORY, MOST_THREADS, MOST_WORLDS
from sim2real.domains import Domain, Subject, bind, load_domain, prepare, prepared_spec
from sim2real.domains.distributions.distribution import Distribution
from sim2real.domains.entries.control_period import control_period
from sim2real.errors import whole_number
from sim2real.registry import load_task
from sim2real.simulation import soundness
from sim2real.simulation.actions import Choice, action_spaces
from sim2real.simulation.context import ContextDraws, changed_by
from sim2real.simulation.contexts import Contexts
from sim2real.simulation.contract import (
    FIELD,
    broadcast,
    check_snapshot,
    checked_action,
    derived_in,
    observation_space,
    try_task,
    world_digest,
)
from sim2real.simulation.disturbances.disturbances import Disturbances
from sim2real.simulation.episode import Boundaries, Episode, Sums, Transition
from sim2real.simulation.observations import Observations, Shows
from sim2real.simulation.periods import ControlSteps
from sim2real.simulation.quaternions import find_quaternions
from sim2real.simulation.randomness import START, Clock, EpisodeGenerators, RowRng
from sim2real.simulation.signals.imperfections import Imperfections
from sim2real.simulation.task_memory import TaskMemory
from sim2real.simulation.worlds import Worlds
from sim2real.task import Array, BoolArray, IntArray, Task


class Simulation(Worlds):
    """`num_envs` worlds of `task` in `domain`, on `threads` native threads (0: all processors).

    To a task this is the world: MjData fields are attributes with the worlds first (`qpos` is
    (n, nq)), state fields may be written, `joint(name)`, `body(name)`, ... are named views.
    With `privileged` an observation goes on, behind the policy's columns, with what only a
    simulator knows (see `Privileged`), or with the draws of the episode alone ("context");
    `observation_terms` names the columns. The policy's are of the last `history` control steps,
    the present one among them (see `History`).
    `actions` are given in the task's "own" range or "normalized" to [-1, 1]; the task gets its own.
    Results equal a plain `mj_step` loop, bit for bit, at any number of threads. The k-th episode
    of world i has the index i + k * num_envs; its draws depend on `seed` and that index alone
    (at startup, on that of the world's first episode): those of the present episodes are live in
    `context`, (n, entries).
    """

    def __init__(
        self,
        task: str | Task,
        domain: str | Domain | None = None,
        num_envs: int = 1,
        seed: int = 0,
        threads: int = 0,
        privileged: Shows = False,
        actions: Choice = "own",
        history: int = 1,
    ) -> None:
        whole_number("num_envs", num_envs, 1, MOST_WORLDS)
        whole_number("history", history, 1, MOST_HISTORY)
        whole_number("threads", threads, 0, MOST_THREADS)
        self.task, self.shows, self.shown_steps = load_task(task), privileged, history
        self.domain = load_domain(self.task, domain)
        super().__init__(prepare(self.task, self.domain), num_envs, threads, self.domain)
        period = control_period(self.task, self.domain, self.model.opt.timestep)
        self.substeps, self.dt, self.episode_steps = period.substeps, period.dt, period.steps
        self._control_steps = ControlSteps(period, self)
        self._task_memory = TaskMemory(self.task, self)
        sensed, reward_names = try_task(self.task, self)
        self._observations = Observations(self.task, self, sensed, privileged, history)
        self._lagged = self.task.derived_fields == "lagged"
        given = action_spaces(actions, self.task, self.domain, self.model)
        self.action_range, self.action_space, self.action_map = given.range, given.space, given.map
        subject = Subject(
            self.task.name,
            sensed,
            self.dt,
            self.task.episode_s,
            spec=functools.partial(prepared_spec, self.task, self.domain),
            quaternions=find_quaternions(self.task, self, sensed, self.domain),
        )
        self.plan = bind(self.domain, self.model, subject)
        self.sets_constants = self.plan.sets_constants
        self._draws = ContextDraws(self.plan)
        delays = self._batch.expand("actuator_delay") if self.model.nhistory else None
        self._imperfections = Imperfections(self.plan, num_envs, self.dt, delays)
        self._observations.bind(self.domain.name, self.plan.names, self._imperfections)
        self.policy_terms = self._observations.policy_terms
        self.observation_terms = terms = self._observations.terms
        self.observation_space = observation_space(sum(term.size for term in terms))
        self._disturbances = Disturbances(self.plan, num_envs, self.dt, self)
        self._contexts = Contexts(self.plan, self._batch, self._imperfections, self.dt)
        self.context = self._contexts.drawn
        self.before_substep = self._contexts.before_substep
        self._sums, self.begun = Sums(num_envs, reward_names), False
        self.commanded = np.zeros((num_envs, self.model.nu))
        self.reseed(seed)
        self.reset()

    def __repr__(self) -> str:
        worlds = f"num_envs={self.num_envs}, seed={self.seed}"
        return f"Simulation({self.task.name!r}, {self.domain.name!r}, {worlds})"

    # -- one control step --------------------------------------------------------------------

    def step(self, action: ArrayLike) -> Transition:
        """Advance every world by one control step and reset those whose episode ended.

        `action` is (n, nu), within `action_space`. Raises UserError for a wrong shape, and for a
        number that is not finite in the action or from the task or the domain; where the physics
        diverges from a finite state, the episode ends as unstable.
        """
        transition = self.advance(action)
        if not len(transition.ended):
            return transition
        observation = transition.observation.copy()
        observation[transition.ended] = self.reset(transition.ended)
        return dataclasses.replace(transition, observation=observation)

    def advance(self, action: ArrayLike, active: BoolArray | None = None) -> Transition:
        """Step without resets: worlds whose episode ended stay in their last state.

        Worlds where `active` (n,) is False are not stepped; their reward and end in the transition
        have no meaning, and they are not among `ended`.
        """
        own = checked_action(action, (self.num_envs, self.model.nu))
        given = own if self.action_map is None else self.action_map(own)
        inactive = self._task_memory.of_inactive(active)
        with soundness.naming_far_actions(own, self.action_space, active):
            self._act(given, active)
            unstable = self._control_steps.take(self, self._lagged, self._clock, active)
            self.steps += 1 if active is None else active
            terms = self._reward(given, unstable, active)
            failed = np.array(self.task.failed(self)) & ~unstable
            truncated = self.steps >= self.episode_steps
            terminated = failed | unstable
            over = terminated | truncated
            self._task_memory.after_step(given, over, inactive, self._clock, active)
            observation = self._observations.observe(
                unstable, active, self._contexts.present, self._clock
            )
            if unstable.any():
                terms = {name: np.where(unstable, 0.0, term) for name, term in terms.items()}
            reward = functools.reduce(operator.add, terms.values()).astype(np.float64)
            self._sums.add(reward, terms)
            soundness.check_returns(self.task.name, self._sums.total)
        self._remember()
        ended = np.flatnonzero(over if active is None else over & active)
        success = self.task.succeeded(self) if len(ended) else None
        boundaries = Boundaries(failed, truncated, unstable, success)
        return Transition(
            observation=observation,
            reward=self._imperfections.delay_reward(reward, over, self._clock, active),
            terms=terms,
            terminated=terminated,
            truncated=truncated,
            unstable=unstable,
            ended=ended,
            final_observation=observation[ended],
            episodes=tuple(self._episode(world, boundaries) for world in ended.tolist()),
        )

    def reset(self, ids: ArrayLike | None = None, episodes: ArrayLike | None = None) -> Array:
        """Start new episodes in the worlds `ids` (by default all); return their observations.

        `episodes` are their indices; by default the next ones of each world, which keeps what it
        drew at startup; an episode that is asked for draws all of its own. Shape: (len(ids), k).
        """
        worlds = self._all if ids is None else np.asarray(ids, dtype=np.int64)
        following = self._episodes[worlds] + self.num_envs
        self._episodes[worlds] = following if episodes is None else np.asarray(episodes)
        self.steps[worlds] = 0
        self._sums.begin(worlds)
        self.reset_state(worlds)
        self._task_memory.begin(worlds)
        if episodes is not None:
            self._contexts.start_anew(worlds)
        self._draw_contexts(worlds)
        rng = RowRng(self._generators, self._episodes[worlds].tolist(), START)
        with self.starting(worlds):
            self.task.start(self, worlds, rng)
            if self.plan.keyframe is not None:
                self.write_fields(worlds, self.plan.keyframe.fields)
            self._task_memory.redraw(worlds, self._clock)
        soundness.check_start(f"task {self.task.name!r}: start", self, worlds)
        self._disturbances.begin(self._clock, worlds, self._contexts.present)
        commanded = self._derive_commanded(worlds)
        return self._begin_observing(commanded, worlds)

    def restart(self, seed: int | None = None, episodes: ArrayLike | None = None) -> Array:
        """Start the next episode of every world; with `seed`, the first ones of that seed.

        `episodes`, (n,), are started in place of those.
        A simulation that was just made stands at its first episodes already, and the first call
        without a seed leaves it there. Returns the observations, (n, k).
        """
        if seed is not None:
            self.reseed(seed)
        if seed is not None or episodes is not None or self.begun:
            self.reset(episodes=episodes)
        self.begun = True
        return self.observation

    def reseed(self, seed: int) -> None:
        """Draw from `seed` from now on, counting episodes from the first; follow with `reset`."""
        self.seed = whole_number("seed", seed, 0, LAST_SIMULATION_SEED)
        self._generators = EpisodeGenerators(self.seed)
        self._episodes = self._all - self.num_envs
        self._contexts.start_anew(self._all)
        self._clock = Clock(self._generators, self._episodes, self.steps)

    def redistribute(
        self,
        distributions: Mapping[str, Distribution],
        ends: Sequence[tuple[str, str]] = (),
        probability: float = 0.0,
    ) -> None:
        """From the next reset on, draw these context entries from other distributions.

        The rest, and all for an empty mapping, are drawn from the domain's own, whose supports are
        the outer limits. With `probability` an episode takes one of `ends`, pairs of a name and
        "low" or "high": that entry stands at this end of its support.
        Raises UserError for an unknown name and for a support beyond the domain's.
        """
        self._draws = ContextDraws(self.plan, distributions, ends, probability)

    def ends_of(self, episodes: Sequence[int]) -> IntArray:
        """Which of the ends given to `redistribute` these episodes take, (m,); -1 for none."""
        return self._draws.ends_of(self._generators, episodes)

    def close(self) -> None:
        """End the threads and give the memory back; afterwards only constants can be read."""
        super().close()
        self._observations.close()
        self._contexts = self._imperfections = self._disturbances = self._batch

    # -- what can be read --------------------------------------------------------------------

    @property
    def context_names(self) -> tuple[str, ...]:
        """The names of the context's columns."""
        return self.plan.names

    def contexts(self) -> list[dict[str, float]]:
        """Copies of the draws of each world's present episode, by name."""
        return [dict(context) for context in self._contexts.rows]

    @property
    def observation(self) -> Array:
        """The last readings of each world's sensors, (n, k)."""
        return self._observations.shown

    @property
    def episode_indices(self) -> IntArray:
        """The index of each world's present episode, (n,)."""
        return self._episodes.copy()

    def write_state(self, qpos: ArrayLike, qvel: ArrayLike, ids: ArrayLike | None = None) -> Array:
        """Put worlds into states (m, nq), (m, nv) and compute what follows; return observations.

        What the sensors remember begins anew there. Raises UserError for another shape, and for a
        state that MuJoCo does not accept.
        """
        worlds = self._all if ids is None else np.asarray(ids, dtype=np.int64)
        self.catch_up()
        for name, values in (("qpos", qpos), ("qvel", qvel)):
            field = getattr(self, name)
            field[worlds] = broadcast(name, values, (len(worlds), field.shape[1]))
        soundness.check_start("write_state", self, worlds)
        self.derive(worlds)
        return self._begin_observing(None, worlds)

    # -- all of it, to save and to restore ---------------------------------------------------

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Everything that the future depends on, as arrays by name."""
        self.catch_up()
        return (
            {
                "state": self._batch.state.copy(),
                "seed": np.array(self.seed, dtype=np.int64),
                "episodes": self._episodes.copy(),
                "steps": self.steps.copy(),
                "lost": self.lost.copy(),
                "difficulty": np.array(self.difficulty),
                "distributions": self._draws.to_array(),
                "digest": world_digest(self.domain, self.model),
            }
            | self._sums.snapshot()
            | self._contexts.snapshot()
            | self._task_memory.snapshot()
            | self._observations.snapshot()
            | self._imperfections.snapshot()
            | self._disturbances.snapshot()
            | {f"previous.{name}": values.copy() for name, values in self.previous.items()}
            | {f"{FIELD}{name}": values for name, values in self._batch.derived().items()}
        )

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Continue, bit for bit, from a `snapshot` of a simulation with the same arguments.

        Raises UserError where the arrays do not fit, and for another domain or model.
        """
        check_snapshot(snapshot, self.snapshot())
        self._draws = changed_by(snapshot["distributions"], self.plan)
        self.reseed(int(snapshot["seed"]))
        self._episodes[...] = snapshot["episodes"]
        self.steps[...] = snapshot["steps"]
        self.difficulty = float(snapshot["difficulty"])
        self._contexts.restore(snapshot, self._clock)
        for part in (self._sums, self._task_memory, self._observations):
            part.restore(snapshot)
        self._imperfections.restore(snapshot, self._clock)
        self._control_steps.restore(self._clock)
        self._disturbances.restore(snapshot, self._clock, self._contexts.present)
        self.previous = {name: snapshot[f"previous.{name}"].copy() for name in self.previous}
        self._batch.state[:] = snapshot["state"]
        self.derive(self._all)
        self.catch_up()
        self._batch.state[:] = snapshot["state"]  # again: a forward pass moves the warm start
        self._batch.set_derived(derived_in(snapshot))  # those of the last substep
        self.lost[...] = snapshot["lost"]

    # -- parts of a step ---------------------------------------------------------------------

    def _act(self, action: NDArray[Any], active: BoolArray | None) -> None:
        """Write what the actuators get of an `action`, and what disturbs the worlds."""
        commanded = self.commanded = self.task.control(self, action)
        if self._contexts.change:
            self._change_contexts(active)
        self.ctrl[:] = self._imperfections.command(commanded, self._clock, active)
        self._disturbances.write(self._clock, active)
        soundness.check_written(self.task.name, self.domain.name, commanded, self, active)

    def _reward(
        self, action: NDArray[Any], unstable: BoolArray, active: BoolArray | None
    ) -> dict[str, Array]:
        """Copies of the reward's terms; worlds whose physics is not finite join the `unstable`."""
        terms = {name: np.array(term) for name, term in self.task.reward(self, action).items()}
        soundness.check_names(self.task.name, terms, self._sums.names)
        soundness.check_reward(f"task {self.task.name!r}: reward", terms, self, unstable, active)
        return terms

    def _derive_commanded(self, ids: IntArray) -> Array:
        """Compute what follows from first states, the actuators commanded as by an action of 0.

        Returns what is commanded, (m, nu).
        """
        if not self._task_memory.commands:
            self.derive(ids)
            return np.zeros((len(ids), self.model.nu))
        self.derive_for_reading(ids)
        commanded = self._task_memory.commanded_at_rest(ids)
        self.ctrl[ids] = commanded
        self.set_commanded(ids, commanded)
        self.derive(ids)
        return commanded

    def _begin_observing(self, commanded: Array | None, ids: IntArray) -> Array:
        self._remember()  # a difference between two readings is 0 in a first state
        return self._observations.begin(commanded, self._contexts.present, ids, self._clock)

    def _draw_contexts(self, ids: IntArray) -> None:
        if self.plan.names:
            episodes = self._episodes[ids].tolist()
            self._contexts.begin(ids, self._draws.draw(self._generators, episodes))

    def _change_contexts(self, active: BoolArray | None) -> None:
        """Set the values that change within an episode to those of this control step."""
        ids = self._all if active is None else np.flatnonzero(active)
        moved = self._contexts.advance(ids, self._clock)
        if len(moved):
            self._disturbances.change(moved, self._contexts.present[moved])
            self.update_constants(moved)

    def _remember(self) -> None:
        self.previous = {name: getattr(self, name).copy() for name in self.task.remembers}

    def _episode(self, world: int, boundaries: Boundaries) -> Episode:
        """The episode that ends in `world`."""
        index, length = int(self._episodes[world]), int(self.steps[world])
        return self._sums.episode(
            world, index, length, boundaries, dict(self._contexts.rows[world])
        )
