"""Train a policy in a simulation, in attempts, and keep the best one as evaluated there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sim2real.domains import Domain
from sim2real.learning.callbacks import AtRollouts
from sim2real.policies.anatomy import named_tensors
from sim2real.policies.recipe import AnyRecipe
from sim2real.task import Array
from sim2real.transfer.verification import Trace, simulate
from sim2real.transfer.work import Learner, Work

TRAIN = "train"
"""The kind of a part of the progress."""


@dataclass(frozen=True)
class Candidate:
    """A policy: its weights, and its episodes in the identified world."""

    weights: dict[str, Tensor]
    traces: tuple[Trace, ...]

    @property
    def mean(self) -> float:
        """The mean return in the identified world."""
        return mean_return(self.traces)


def mean_return(traces: Sequence[Trace]) -> float:
    """The mean return of episodes that have ended."""
    return float(np.mean([trace.within(np.inf) for trace in traces]))


def return_at_home(work: Work, policy: BasePolicy, home: Domain, episodes: int) -> float:
    """The mean return of the source's policy in its own domain."""

    def measure() -> float:
        return mean_return(simulate(policy, work.env(home, episodes)))

    return work.once("home", measure)


class Adaptation:
    """Training of one policy in an identified world; `best` is the best candidate so far.

    `start` is the policy as it came. The return at `home`, of the source's policy in its domain, is
    what the attempts try to reach; without one it is that of the start.
    """

    def __init__(
        self,
        work: Work,
        policy: BasePolicy,
        identified: Domain,
        world: Domain,
        home: float | None,
        episodes: int,
        number: int,
    ) -> None:
        self._work, self._policy, self._number = work, policy, number
        self._tests = work.env(identified, episodes)
        self._training = work.env(world, work.recipe.num_envs)
        self.episode_steps = int(self._tests.get_attr("episode_steps")[0])
        self._learner = self._new_learner(0, policy)
        self.start = self.best = self._evaluated("start")
        self.returns: list[list[float]] = []
        self.home = self.start.mean if home is None else home

    @property
    def closed(self) -> float:
        """The part of the gap to the return at home that the best candidate closes."""
        gap = self.home - self.start.mean
        return (self.best.mean - self.start.mean) / gap if gap > 0 else 1.0

    def attempt(
        self, number: int, steps: int, evaluations: int, enough: float, patience: int
    ) -> None:
        """Train the policy for `steps` control steps with a seed of its own, evaluated so often.

        Ends before, when the part `enough` of the gap is closed and `patience` evaluations in a
        row were no better than the best.
        """
        learner = self._new_learner(number, self._policy)
        self._train(learner, number, steps, evaluations, enough, patience)

    def attempt_afresh(self, number: int, steps: int, evaluations: int) -> None:
        """Train a policy of fresh weights in the same way, to the end."""
        learner = self._new_learner(number, None)
        self._train(learner, number, steps, evaluations, np.inf, evaluations)

    def _train(
        self,
        learner: Learner,
        number: int,
        steps: int,
        evaluations: int,
        enough: float,
        patience: int,
    ) -> None:
        self._learner = learner
        restart_exploration(self._learner.algorithm, self._work.recipe)
        ends, found = parts(self._work.recipe, steps, evaluations), list[float]()
        self.returns.append(found)
        progress, improved = self._work.parts, 0
        for place, end in enumerate(ends, 1):
            progress.begin(TRAIN, f"training, attempt {number}, {place} of {len(ends)}")
            self._learner.learn(end, [Shown(found[-1:])], ends[-1], progress.update)
            candidate = self._evaluated(f"{number}-{end}")
            found.append(candidate.mean)
            if candidate.mean > self.best.mean:
                self.best, improved = candidate, place
            if self.closed >= enough and place - improved >= patience:
                progress.skip(TRAIN, len(ends) - place)
                break

    def policy(self, candidate: Candidate) -> BasePolicy:
        """The policy of the last learner with the weights of a candidate, loaded in place."""
        policy = self._learner.algorithm.policy
        policy.load_state_dict(candidate.weights)
        policy.set_training_mode(False)
        return policy

    def plain(self) -> dict[str, Any]:
        """The returns in simulation as JSON: at home, at the start, of each attempt, the best."""
        return {
            "home": self.home,
            "start": self.start.mean,
            "attempts": self.returns,
            "best": self.best.mean,
        }

    def _new_learner(self, attempt: int, policy: BasePolicy | None) -> Learner:
        name = f"adapt-{self._number}-{attempt}"
        return self._work.learner(name, self._work.recipe, self._training, policy)

    def _evaluated(self, name: str) -> Candidate:
        """The policy of the learner as it is now, evaluated in the identified world."""
        policy = self._learner.algorithm.policy

        def evaluate() -> dict[str, Any]:
            traces = simulate(policy, self._tests)
            return {"weights": dict(policy.state_dict()), "rewards": [t.rewards for t in traces]}

        stored = self._work.once(f"evaluate-{self._number}-{name}", evaluate)
        return Candidate(stored["weights"], ended(stored["rewards"]))


class Shown(AtRollouts):
    """Write the last of the returns in the identified world, if there is one, to TensorBoard."""

    def __init__(self, returns: Sequence[float]) -> None:
        super().__init__()
        self._returns = returns

    def _on_training_start(self) -> None:
        for value in self._returns[-1:]:
            self.logger.record("rollout/return_in_identified", value)


def ended(rewards: Sequence[Array]) -> tuple[Trace, ...]:
    """Whole episodes, of their rewards."""
    return tuple(Trace(one, ended=True) for one in rewards)


def parts(recipe: AnyRecipe, steps: int, evaluations: int) -> list[int]:
    """The control steps at which a training of `steps` is evaluated: whole rollouts where it can.

    The last is the largest multiple of the worlds within `steps`, and of one step of each at least.
    """
    rollout = recipe.num_envs * getattr(recipe, "n_steps", 1)
    unit = rollout if steps >= rollout * evaluations else recipe.num_envs
    total = max(steps // recipe.num_envs, 1) * recipe.num_envs
    ends = {total * k // evaluations // unit * unit for k in range(1, evaluations)}
    return sorted((ends | {total}) - {0})


def restart_exploration(algorithm: BaseAlgorithm, recipe: AnyRecipe) -> None:
    """Give PPO the exploration noise with which a pretraining begins, in place."""
    log_std = named_tensors(algorithm.policy).get("log_std")
    if log_std is not None:
        with torch.no_grad():
            log_std.fill_(recipe.log_std_init)  # type: ignore[union-attr]
