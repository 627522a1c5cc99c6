"""n independent worlds of one task in one domain, stepped together on native threads."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim2real.domains import Domain, Plan, Subject, bind, load_domain, prepare, prepared_spec
from sim2real.domains.distributions import Distribution
from sim2real.domains.plan import Models
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation.actions import Choice, action_spaces
from sim2real.simulation.context import ContextDraws, changed_by
from sim2real.simulation.contract import checked_action, observation_space, try_task
from sim2real.simulation.disturbances import Disturbances
from sim2real.simulation.episode import Ends, Episode, Sums, Transition
from sim2real.simulation.history import History
from sim2real.simulation.imperfections import Imperfections
from sim2real.simulation.privileged import Privileged
from sim2real.simulation.quaternions import find_quaternions
from sim2real.simulation.randomness import START, Clock, EpisodeGenerators, RowRng
from sim2real.simulation.task_memory import TaskMemory
from sim2real.simulation.world import World
from sim2real.task import Array, BoolArray, IntArray, Task, whole_steps


class Simulation(World):
    """`num_envs` worlds of `task` in `domain`, on `threads` native threads (0: all processors).

    To a task this is the world: MjData fields are attributes with the worlds first (`qpos` is
    (n, nq)), state fields may be written, `joint(name)` and its like are named views.
    With `privileged` an observation goes on, behind the policy's columns, with what only a
    simulator knows (see `simulation.privileged`); `observation_terms` tells which column is what.
    `actions` are given in the task's "own" range or "normalized" to [-1, 1]; the task gets its own.
    Results equal a plain `mj_step` loop, bit for bit, at any number of threads. The k-th episode
    of world i has the index i + k * num_envs; its draws depend on `seed` and that index alone.
    """

    def __init__(
        self,
        task: str | Task,
        domain: str | Domain | None = None,
        num_envs: int = 1,
        seed: int = 0,
        threads: int = 0,
        privileged: bool = False,
        actions: Choice = "own",
    ) -> None:
        if num_envs < 1:
            raise UserError(f"num_envs must be at least 1, got {num_envs}")
        self.task = load_task(task)
        self.domain = load_domain(self.task, domain)
        super().__init__(prepare(self.task, self.domain), num_envs, threads)
        self.substeps = whole_steps(self.task.control_dt, self.model.opt.timestep, "control_dt")
        self.dt: float = self.model.opt.timestep * self.substeps
        self.episode_steps = whole_steps(self.task.episode_s, self.task.control_dt, "episode_s")
        self._kept = TaskMemory(self.task, self)
        sensed, reward_names = try_task(self.task, self)
        self._history = History(self.task, sensed, num_envs)
        self.policy_terms = self._history.terms
        self._privileged = Privileged(self.task, self, sensed) if privileged else None
        self._stage = self.stage_after_step(self.task.derived_fields == "lagged")
        given = action_spaces(actions, self.task, self.domain, self.model)
        self.action_range, self.action_space, self.action_map = given.range, given.space, given.map
        spec = functools.partial(prepared_spec, self.task, self.domain)
        quaternions = find_quaternions(self.task, self, sensed, self.domain)
        subject = Subject(
            self.task.name,
            sensed,
            self.dt,
            self.task.episode_s,
            spec=spec,
            quaternions=quaternions,
        )
        self._plan = bind(self.domain, self.model, subject)
        extra = self._privileged.terms(self._plan.names) if self._privileged else ()
        self.observation_terms = (*self.policy_terms, *extra)
        self.observation_space = observation_space(sum(t.size for t in self.observation_terms))
        self._models = Models(self._batch)
        self.sets_constants = self._plan.sets_constants
        self._draws = ContextDraws(self._plan)
        delays = self._batch.expand("actuator_delay") if self.model.nhistory else None
        self._imperfections = Imperfections(self._plan, num_envs, self.dt, delays)
        self._disturbances = Disturbances(self._plan, num_envs, self.dt)
        self.context = np.zeros((num_envs, len(self._plan.names)))
        self._contexts: list[dict[str, float]] = [{} for _ in range(num_envs)]
        self._sums = Sums(num_envs, reward_names)
        self._begun = False
        self.reseed(seed)
        self.reset()

    # -- one control step --------------------------------------------------------------------

    def step(self, action: ArrayLike) -> Transition:
        """Advance every world by one control step and reset those whose episode ended.

        `action` is (n, nu), within `action_space`. Raises UserError for a wrong shape and for NaN.
        """
        transition = self.advance(action)
        if not len(transition.ended):
            return transition
        observation = transition.observation.copy()
        observation[transition.ended] = self.reset(transition.ended)
        return dataclasses.replace(transition, observation=observation)

    def advance(self, action: ArrayLike, active: BoolArray | None = None) -> Transition:
        """As `step`, but without the resets: what ended stays at its end.

        Worlds where `active` (n,) is False stand still; what the transition says of their reward
        and end means nothing, and they are not among `ended`.
        """
        given = checked_action(action, (self.num_envs, self.model.nu))
        given = given if self.action_map is None else self.action_map(given)
        held = self._kept.held(active)
        told = self.task.control(self, given)
        self.ctrl[:] = self._imperfections.command(told, self._clock, active)
        if self._disturbances:
            self._disturbances.write(self.xfrc_applied, self._episodes, self.steps)
        unstable = self.step_physics(self.substeps, self._stage, active)
        self.steps += 1 if active is None else active
        # copied: a task may return views of the state, which the resets will overwrite
        terms = {name: np.array(term) for name, term in self.task.reward(self, given).items()}
        failed = np.array(self.task.failed(self))
        truncated = self.steps >= self.episode_steps
        self._kept.after_step(given, failed | truncated | unstable, held, self._clock, active)
        observation = self._observe(unstable, active)
        if unstable.any():
            terms = {name: np.where(unstable, 0.0, term) for name, term in terms.items()}
        terminated = failed | unstable
        reward = functools.reduce(operator.add, terms.values()).astype(np.float64, copy=False)
        self._sums.add(reward, terms)
        over = terminated | truncated
        paid = self._imperfections.pay(reward, over, self._clock, active)
        self._observation = observation
        self._remember()
        ended = np.flatnonzero(over if active is None else over & active)
        success = self.task.succeeded(self) if len(ended) else None
        good = None if success is None else success & ~terminated
        ends = Ends(failed, truncated, unstable, good)
        return Transition(
            observation=observation,
            reward=paid,
            terms=terms,
            terminated=terminated,
            truncated=truncated,
            unstable=unstable,
            ended=ended,
            final_observation=observation[ended],
            episodes=tuple(self._episode(world, ends) for world in ended.tolist()),
        )

    def reset(self, ids: ArrayLike | None = None, episodes: ArrayLike | None = None) -> Array:
        """Start new episodes in the worlds `ids` (by default all); return their observations.

        `episodes` are their indices; by default the next ones of each world. Shape: (len(ids), k).
        """
        worlds = self._all if ids is None else np.asarray(ids, dtype=np.int64)
        following = self._episodes[worlds] + self.num_envs
        self._episodes[worlds] = following if episodes is None else np.asarray(episodes)
        self.steps[worlds] = 0
        self._sums.begin(worlds)
        self.reset_state(worlds)
        self._kept.begin(worlds)
        self._draw_contexts(worlds)
        rng = RowRng(self._generators, self._episodes[worlds].tolist(), START)
        self.task.start(self, worlds, rng)
        if self._plan.keyframe is not None:
            self.write_fields(worlds, self._plan.keyframe.fields)
        self._kept.redraw(worlds, self._clock)
        self._disturb_anew(worlds)
        self.derive(worlds)
        truth = self._truth()[worlds]
        told = self._kept.told_before(worlds)
        self.let_have_told(worlds, told)
        seen = self._imperfections.begin(truth, told, worlds, self._clock)
        observation = self._with_privileged(self._history.begin(seen, worlds), worlds)
        self._observation = self._observation.copy()
        self._observation[worlds] = observation
        self._remember()
        return observation

    def restart(self, seed: int | None = None) -> Array:
        """Start the next episode of every world; with `seed`, the first ones of that seed.

        A simulation that was just made stands at its first episodes already, and the first call
        without a seed leaves it there. Returns the observations, (n, k).
        """
        if seed is not None:
            self.reseed(seed)
        if seed is not None or self._begun:
            self.reset()
        self._begun = True
        return self.observation

    def reseed(self, seed: int) -> None:
        """Draw from `seed` from now on, counting episodes from the first; follow with `reset`."""
        if not 0 <= seed < 2**63:
            raise UserError(f"a seed must lie in [0, 2**63), got {seed}")
        self.seed = int(seed)
        self._generators = EpisodeGenerators(self.seed)
        self._episodes = self._all - self.num_envs
        self._clock = Clock(self._generators, self._episodes, self.steps)
        self._observation = np.zeros((self.num_envs, *self.observation_space.shape))

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
        self._draws = ContextDraws(self._plan, distributions, ends, probability)

    def ends_of(self, episodes: Sequence[int]) -> IntArray:
        """Which of the ends given to `redistribute` these episodes take, (m,); -1 for none."""
        return self._draws.ends_of(self._generators, episodes)

    def close(self) -> None:
        """End the threads and give the memory back; afterwards only constants can be read."""
        super().close()
        self._models = self._imperfections = self._disturbances = self._batch

    # -- what can be read --------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The domain, bound to the model."""
        return self._plan

    @property
    def context_names(self) -> tuple[str, ...]:
        """The names of the context's columns."""
        return self._plan.names

    def contexts(self) -> list[dict[str, float]]:
        """The draws of each world's present episode, by name."""
        return list(self._contexts)

    @property
    def observation(self) -> Array:
        """What each world's sensors gave last, (n, k)."""
        return self._observation.copy()

    @property
    def episode_indices(self) -> IntArray:
        """The index of each world's present episode, (n,)."""
        return self._episodes.copy()

    def write_state(self, qpos: ArrayLike, qvel: ArrayLike, ids: ArrayLike | None = None) -> Array:
        """Put worlds into states (m, nq), (m, nv) and compute what follows; return observations.

        What the sensors remember begins anew there.
        """
        worlds = self._all if ids is None else np.asarray(ids, dtype=np.int64)
        self.catch_up()
        self.qpos[worlds] = qpos
        self.qvel[worlds] = qvel
        self.derive(worlds)
        seen = self._imperfections.observe_first(self._truth()[worlds], worlds, self._clock)
        observation = self._with_privileged(self._history.begin(seen, worlds), worlds)
        self._observation[worlds] = observation
        self._remember()
        return observation

    # -- all of it, to save and to restore ---------------------------------------------------

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Everything that the future depends on, as arrays by name."""
        self.catch_up()
        return (
            {
                "state": self._batch.state.copy(),
                "warning": self._batch.warning.copy(),
                "seed": np.array(self.seed, dtype=np.int64),
                "episodes": self._episodes.copy(),
                "steps": self.steps.copy(),
                "difficulty": np.array(self.difficulty),
                "observation": self._observation.copy(),
                "context": self.context.copy(),
                "distributions": self._draws.to_array(),
            }
            | self._sums.snapshot()
            | self._kept.snapshot()
            | self._history.snapshot()
            | self._imperfections.snapshot()
            | {f"previous.{name}": values.copy() for name, values in self.previous.items()}
        )

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Continue, bit for bit, from a `snapshot` of a simulation with the same arguments.

        Raises UserError where the arrays do not fit.
        """
        own = self.snapshot()
        for name, values in own.items():
            if name == "distributions" and name in snapshot:
                continue  # of any length
            if name not in snapshot or snapshot[name].shape != values.shape:
                got = snapshot[name].shape if name in snapshot else "nothing"
                raise UserError(f"snapshot: {name} must be {values.shape}, got {got}")
        self._draws = changed_by(snapshot["distributions"], self._plan)
        self.reseed(int(snapshot["seed"]))
        self._episodes[...] = snapshot["episodes"]
        self._observation[...] = snapshot["observation"]
        self._sums.restore(snapshot)
        self.steps[...] = snapshot["steps"]
        self.difficulty = float(snapshot["difficulty"])
        self._set_contexts(self._all, snapshot["context"])
        self._kept.restore(snapshot)
        self._history.restore(snapshot)
        self._imperfections.restore(snapshot, self._clock)
        self._disturb_anew(self._all)
        self._batch.state[:] = snapshot["state"]
        self.derive(self._all)
        self.catch_up()
        self._batch.state[:] = snapshot["state"]  # again: a forward pass moves the warm start
        self._batch.warning[:] = snapshot["warning"]
        self.previous = {name: snapshot[f"previous.{name}"].copy() for name in self.previous}

    # -- parts of a step ---------------------------------------------------------------------

    def _observe(self, unstable: BoolArray, active: BoolArray | None) -> Array:
        """What is observed after a control step, (n, k).

        Worlds whose observation is not finite join the `unstable`, (n,). These, and the worlds that
        are not `active`, give what they gave last.
        """
        truth = self._truth()
        unstable |= ~np.isfinite(truth).all(axis=1)
        if unstable.any():  # what the sensors remember stays finite
            truth[unstable] = self._observation[unstable][:, self._history.newest]
        sensed = self._imperfections.observe(truth, self._clock, active)
        seen = self._history.push(sensed, active)
        observation = self._with_privileged(seen, self._all)
        if observation is not seen:
            unstable |= ~np.isfinite(observation).all(axis=1)
        kept = unstable if active is None else unstable | ~active
        if kept.any():
            observation[kept] = self._observation[kept]
        return observation

    def _truth(self) -> Array:
        """What perfect sensors would give, (n, k)."""
        return np.concatenate(list(self.task.observe(self).values()), axis=1)

    def _with_privileged(self, seen: Array, ids: IntArray) -> Array:
        """What the worlds `ids` give to who learns: what is seen, and what is privileged."""
        if self._privileged is None:
            return seen
        return self._privileged.append(seen, self._truth()[ids], self.context[ids], ids)

    def _draw_contexts(self, ids: IntArray) -> None:
        if self._plan.names:
            episodes = self._episodes[ids].tolist()
            self._set_contexts(ids, self._draws.draw(self._generators, episodes))

    def _set_contexts(self, ids: IntArray, draws: Array) -> None:
        """Give the worlds `ids` the contexts `draws`, (m, context)."""
        if not (names := self._plan.names):
            return
        self.context[ids] = draws
        for world, row in zip(ids.tolist(), draws.tolist(), strict=True):
            self._contexts[world] = dict(zip(names, row, strict=True))
        self._plan.apply(self._models, ids, draws)
        self._imperfections.draw(ids, draws)

    def _disturb_anew(self, ids: IntArray) -> None:
        """Take up what disturbs the present episodes of the worlds `ids`."""
        if self._disturbances:
            self._disturbances.begin(
                self._generators, self.xfrc_applied, ids, self._episodes, self.steps, self.context
            )

    def _remember(self) -> None:
        self.previous = {name: getattr(self, name).copy() for name in self.task.remembers}

    def _episode(self, world: int, ends: Ends) -> Episode:
        """The episode that ends in `world`."""
        index, length = int(self._episodes[world]), int(self.steps[world])
        return self._sums.episode(world, index, length, ends, self._contexts[world])
