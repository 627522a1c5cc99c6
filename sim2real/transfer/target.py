"""The target of a transfer: access to its domain, metered to the step.

Every environment of the target is opened here and shares one meter. A step that the budget does
not cover raises BudgetExceeded before it is made, whichever environment asks for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.config import LAST_SEED
from sim2real.domains import Domain
from sim2real.errors import whole_number
from sim2real.identification.excitation import Excitation
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.runs.contract import Contract, contract_of
from sim2real.runs.state import State, Tensors, capture_worlds, prefixed, restore_worlds, without
from sim2real.simulation import Simulation
from sim2real.simulation.actions import Choice
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.task import Task
from sim2real.transfer.budget import Budget, Meter, MeteredVecEnv, Usage
from sim2real.transfer.target_env import TargetVecEnv

Env = TypeVar("Env", bound=VecEnv)


def derived_seed(seed: int, key: int) -> int:
    """A seed for the environment or learner `key` of a run with `seed`; key 0 has the run's own."""
    if key == 0:
        return seed
    words = np.random.SeedSequence(seed, spawn_key=(key,)).generate_state(1)
    return int(words[0]) % (LAST_SEED + 1)


class Environments:
    """The environments that a method has open, each with a seed of its own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._opened = 0
        self._open: list[VecEnv] = []

    def __len__(self) -> int:
        return len(self._open)

    def add(self, make: Callable[[int], Env]) -> Env:
        """Open the environment that `make` returns for a seed."""
        env = make(derived_seed(self._seed, self._opened))
        self._opened += 1
        self._open.append(env)
        return env

    def close(self, keep: int = 0) -> None:
        """Close all but the first `keep`."""
        for env in self._open[keep:]:
            env.close()
        del self._open[keep:]

    def capture(self) -> tuple[Tensors, State]:
        """The state of the worlds and meters, from which the same steps follow."""
        tensors: Tensors = {}
        worlds = []
        for index, env in enumerate(self._open):
            arrays, state = capture_worlds(env)
            tensors |= prefixed(str(index), arrays)
            worlds.append(state)
        return tensors, {"opened": self._opened, "worlds": worlds}

    def restore(self, tensors: Tensors, state: State) -> None:
        """Continue from a captured state; the same environments must be open."""
        self._opened = state["opened"]
        for index, (env, worlds) in enumerate(zip(self._open, state["worlds"], strict=True)):
            restore_worlds(env, without(str(index), tensors), worlds)


class Target:
    """The target domain as a method may use it: environments and records within the budget.

    What a robot would not show is private: the domain, its values, the meter. The observations
    have the policy's columns, of as many control steps as the recipe of the run says; they have the
    privileged ones only if it asks for them, and report/budget.json then has `privileged: true`.
    """

    def __init__(
        self,
        task: Task,
        domain: Domain,
        contract: Contract,
        meter: Meter,
        environments: Environments,
        *,
        actions: Choice,
        rewarded: bool,
        observed: Mapping[str, Any],
    ) -> None:
        self.task = task
        self.name = domain.name
        """The name of the domain."""
        self.contract = contract
        """Observation terms, action space and control step."""
        self.budget = meter.budget
        self.rewarded = rewarded
        """Whether rewards are shown; they are 0 otherwise."""
        self.episode_steps = max(1, round(task.episode_s / contract.control_dt))
        """Control steps of the longest episode."""
        self.actions = actions
        """How policies give actions: "own", "normalized", or the map of the source."""
        self.__domain, self.__meter, self.__environments = domain, meter, environments
        self.__observed = dict(observed)

    @property
    def usage(self) -> Usage:
        """What was used: control steps, episodes, resets, falls, seconds of robot time."""
        return self.__meter.usage

    def env(self, num_envs: int = 1) -> TargetVecEnv:
        """Open `num_envs` worlds of the target, each step of which is charged to the budget."""
        return self.__open(num_envs, self.__observed)

    def record(
        self,
        policy: BasePolicy,
        steps: int,
        num_envs: int = 1,
        *,
        noise: float | Excitation = 0.0,
        seed: int = 0,
        episodes: int | None = None,
        deterministic: bool = True,
    ) -> Log:
        """Let `policy` act for `steps` control steps in all; the log, with the rewards as an extra.

        As `sim2real.identification.record`, in worlds of their own. Raises UserError if `steps` do
        not cover one step of every world, and BudgetExceeded as an environment does.
        """
        whole_number("steps", steps, num_envs, self.budget.steps)
        env = self.__open(num_envs, {"history": getattr(policy, "history", 1)})
        return record(env, policy, steps, noise, seed, deterministic, episodes)

    def is_target(self, domain: Domain) -> bool:
        """Whether `domain` has the content of the target's, under this name or another."""
        return _content(domain) == _content(self.__domain)

    def __open(self, num_envs: int, observed: Mapping[str, Any]) -> TargetVecEnv:
        whole_number("num_envs", num_envs, 1, self.budget.steps)

        def make(seed: int) -> TargetVecEnv:
            options: Any = {"actions": self.actions, **observed}
            simulation = Simulation(self.task, self.__domain, num_envs, seed, **options)
            metered = MeteredVecEnv(SimVecEnv(simulation), self.__meter)
            return TargetVecEnv(metered, self.rewarded)

        return self.__environments.add(make)


def open_target(
    task: Task,
    domain: Domain,
    budget: Budget,
    environments: Environments,
    *,
    actions: Choice = "own",
    rewarded: bool = True,
    **observed: Any,
) -> tuple[Target, Meter]:
    """The target for a method, and its meter for the run that writes the counts.

    Rewards are hidden unless it is `rewarded`. `observed` are the arguments of a simulation that
    shows what the method's policy observes.
    """
    contract = contract_in(task, domain, actions, **observed)
    meter = Meter(budget, contract.control_dt)
    given: Any = {"actions": actions, "rewarded": rewarded, "observed": observed}
    return Target(task, domain, contract, meter, environments, **given), meter


def contract_in(
    task: Task, domain: Domain, actions: Choice = "normalized", **observed: Any
) -> Contract:
    """The contract of a policy that observes so in `domain`: arguments of a simulation."""
    with contextlib.closing(Simulation(task, domain, actions=actions, **observed)) as simulation:
        return contract_of(simulation)


def _content(domain: Domain) -> Domain:
    return domain.model_copy(update={"name": "", "about": ""})
