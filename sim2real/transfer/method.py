"""What a transfer method is.

A method is one class: `adapt` gets the source run, the metered target and the work (phases,
learners, simulations), and returns a policy. A method that is one stable-baselines3 learner over
the whole budget derives from `LearnerMethod` and writes `target_recipe` and `prepare`. A method of
your own is a file, given to `transfer` by its path.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.config import Config, Worlds
from sim2real.errors import UserError, brief
from sim2real.policies import ALGORITHMS
from sim2real.policies.anatomy import Role, anatomy, named_tensors
from sim2real.policies.modifiers import Frozen, apply_modifiers
from sim2real.policies.recipe import AnyRecipe, parse_recipe
from sim2real.policies.tensors import match
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.manifest import Action, TensorRow
from sim2real.transfer.matching import Match
from sim2real.transfer.schedule import KeepFrozen
from sim2real.transfer.side_by_side import SideBySide
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work

AFTERWARDS: dict[str, Any] = {
    "initial_gamma": None,
    "initial_ent_coef": None,
    "final_log_std": None,
    "worst_share": 1.0,
    "symmetry": None,
}
"""Options of PPO that are of a pretraining alone, as they are after it: discount, entropy bonus and
noise are those of its end, every world is learned from, and a target need not be symmetric."""

REWARD = {"action_rate_penalty": 0.0, "torque_penalty": 0.0}
OF_SOURCE = {"worst_share", "symmetry", *REWARD}
"""Options that a learner in a target does not take over from the source."""
SIZES: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": 16, "n_steps": 64, "batch_size": 256, **AFTERWARDS, **REWARD},
    "sac": {"num_envs": 4, "train_freq": 4, "gradient_steps": 8, **REWARD},
    "td3": {"num_envs": 4, "train_freq": 4, "gradient_steps": 8, **REWARD},
}
"""Rollouts in a target: smaller than in pretraining, because steps are scarce, updates are not. The
reward is the task's."""

PLAIN = {"privileged": False, "privileged_actor": False}
"""Options of a recipe in the target: it shows what a robot would show."""

RANDOM_SHARE = 20
"""A learner without experience spends at most a 20th of its budget on random actions."""


NETWORKS = (
    "net_arch",
    "activation",
    "encoder",
    "encoding",
    "normalize_observations",
    "estimate",
    "estimator_net_arch",
    "critic_net_arch",
    "critic_norm",
    "critics",
)
"""Options of a recipe that decide which tensors a policy has, and what they compute."""


@dataclass(frozen=True)
class Prepared:
    """A learner that is ready to start in the target.

    `algorithm` has SB3's `learn`; `rows` give the action for every tensor of its
    policy; `callbacks` hold frozen tensors and schedules.
    """

    algorithm: BaseAlgorithm
    rows: tuple[TensorRow, ...]
    callbacks: tuple[BaseCallback, ...] = ()


class Method(Config):
    """A transfer method and its options."""

    name: ClassVar[str]
    algorithms: ClassVar[tuple[str, ...]] = ALGORITHMS
    """The algorithms that it can continue; a source of another one is refused."""
    may_remember_more: ClassVar[bool] = False
    """Whether its policy may observe more control steps than the source's (`history`)."""
    needs_reward: ClassVar[bool] = True
    """Whether it learns from the reward of the target."""

    fits_other_tasks: ClassVar[bool] = True
    """Whether its source may be one of another task, made to fit (`match`)."""

    @property
    def source_may_differ(self) -> bool:
        """Whether its source may observe other terms than its policy; actions are the same."""
        return False

    fixes_context: ClassVar[bool] = False
    """Whether it makes a policy that acts on the context one that does not."""

    num_envs: Worlds | None = None
    """Worlds of the target stepped together; by default those of SIZES."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Options of the algorithm's recipe to learn with in the target, by name."""
    match: Match | None = None
    """Which observations and actions of another task are the source's: `by_name`, or what has
    other names; None: they are the same."""
    reward: bool = True
    """Whether the target gives a reward; without, it is 0, and only some methods can do without."""

    @field_validator("reward")
    @classmethod
    def _does_without(cls, reward: bool) -> bool:
        if cls.needs_reward and not reward:
            raise ValueError(f"{cls.name} learns from the target's reward; allowed: true")
        return reward

    @field_validator("recipe")
    @classmethod
    def _learns_from_every_world(cls, recipe: dict[str, Any]) -> dict[str, Any]:
        if "worst_share" in recipe:
            raise ValueError("worst_share is of a pretraining; a method learns from every world")
        return recipe

    def require_algorithm(self, algorithm: str) -> None:
        """Raise UserError for a source of an algorithm that the method cannot continue."""
        if algorithm not in self.algorithms:
            raise UserError(
                f"method {self.name!r}: the source's algorithm is {algorithm}; "
                f"allowed: {', '.join(self.algorithms)}"
            )

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The recipe of the policy that `adapt` returns: the source's, resized for a target."""
        return self.resized(source)

    def target_worlds(self, recipe: AnyRecipe) -> int:
        """Worlds of the target that are stepped together; the budget must cover a step of all."""
        return recipe.num_envs

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """What the method plans by its budget; by default the budget itself.

        A run that is extended equals one that had the larger budget from the start where this is
        equal for both budgets.
        """
        return budget

    def simulated(self, algorithm: str) -> int:
        """About how many control steps it trains beside the target, to estimate the time left.

        None by default. `algorithm` is that of the source.
        """
        return 0

    def of_learner(self, recipe: AnyRecipe) -> AnyRecipe:
        """The `recipe` with the rollouts and learning rates of the method's learner."""
        return recipe

    def kept_options(self) -> tuple[str, ...]:
        """Options of the recipe that are the source's, whose weights are copied; default: none."""
        return ()

    @abstractmethod
    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """The policy of `source` made fit for `target`; of the recipe `work.recipe`."""

    def resized(self, source: AnyRecipe, **changes: Any) -> AnyRecipe:
        """The recipe of the source with rollouts for a target, `changes`, then the user's.

        Nothing is privileged, unless `changes` or the user ask for it.
        """
        worlds = {} if self.num_envs is None else {"num_envs": self.num_envs}
        sizes = SIZES[source.algorithm]
        return self._kept(source, {**sizes, **changes, **self.recipe, **worlds})

    def as_in_pretraining(self, source: AnyRecipe, **changes: Any) -> AnyRecipe:
        """The recipe of the source's pretraining with `changes`, then the user's.

        The learning rate of PPO falls linearly to 0; SAC and TD3 begin with the policy's actions.
        """
        ppo: dict[str, Any] = {"lr_schedule": "linear", **AFTERWARDS}
        start = ppo if source.algorithm == "ppo" else {"learning_starts": 0}
        worlds = {} if self.num_envs is None else {"num_envs": self.num_envs}
        return self._kept(source, {**start, **changes, **self.recipe, **worlds})

    def _kept(self, source: AnyRecipe, changes: Mapping[str, Any]) -> AnyRecipe:
        """The recipe with `changes`; UserError if these change what is the source's."""
        recipe = recipe_in_target(source, changes)
        for name in self.kept_options():
            before, after = (getattr(one, name, None) for one in (source, recipe))
            if before != after:
                raise UserError(
                    f"recipe: {name} is {brief(after)}; method {self.name!r} copies the weights of "
                    f"the source, allowed: {brief(before)}"
                )
        return recipe


class LearnerMethod(Method):
    """A method that is one learner in the target, for the whole budget."""

    @abstractmethod
    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The learner on `env`, the metered target, and the action for each tensor."""

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """Prepare the learner and train it; its checkpoints are the run's."""
        return self.learned(source, target, work, target.budget)

    def learned(self, source: Run, target: Target, work: Work, budget: Budget) -> BasePolicy:
        """The policy that the learner ends with after `budget`."""
        env = target.env(work.recipe.num_envs)
        prepared = self.prepare(source, work.recipe, env, budget, work.seed)
        return work.learn(prepared.algorithm, prepared.rows, prepared.callbacks, budget)


def learn_beside(
    target: Target,
    work: Work,
    budget: Budget,
    beside: Sequence[VecEnv],
    prepare: Callable[[VecEnv, Budget], Prepared],
) -> BasePolicy:
    """The policy of a learner in the target and in free worlds `beside` it, stepped together.

    `prepare` gets all worlds, and a budget that counts the steps of all.
    """
    worlds = work.recipe.num_envs
    env = SideBySide(target.env(worlds), *beside)
    whole = Budget(budget.usable(worlds) // worlds * env.num_envs)
    prepared = prepare(env, whole)
    learner = work.prepared_learner("train", prepared.algorithm, prepared.rows)
    return learner.learn(whole.steps, prepared.callbacks)


def recipe_in_target(source: AnyRecipe, changes: Mapping[str, Any]) -> AnyRecipe:
    """The source's recipe with `changes`; nothing is privileged unless these ask for it."""
    plain: dict[str, Any] = {**PLAIN}
    if not changes.get("privileged_actor"):
        plain["context_encoder"] = None
    return parse_recipe(source.algorithm, {**source.model_dump(), **plain, **changes})


def with_random_start(source: AnyRecipe, budget: Budget) -> dict[str, Any]:
    """How many random actions a learner begins with that has nothing to begin with."""
    if source.algorithm == "ppo":
        return {}
    return {"learning_starts": min(source.learning_starts, budget.steps // RANDOM_SHARE)}


def rows_of(algorithm: BaseAlgorithm, action_of: Mapping[str, Action]) -> tuple[TensorRow, ...]:
    """One row for each tensor of the policy, and SAC's entropy coefficient; fresh by default."""
    tensors = named_tensors(algorithm.policy)
    coefficient = getattr(algorithm, "log_ent_coef", None)
    if coefficient is not None:
        tensors["log_ent_coef"] = coefficient
    first: dict[int, str] = {}
    rows = []
    for name, tensor in tensors.items():
        shape = tuple(np.shape(tensor.detach()))
        listed = first.setdefault(id(tensor), name)
        alias_of = "" if listed == name else listed
        rows.append(TensorRow(name, shape, action_of.get(name, "fresh"), alias_of))
    return tuple(rows)


def sources_tensors(prepared: Prepared, *roles: Role) -> list[str]:
    """The names of what is the source's in the networks of `roles`, and of its statistics.

    Exploration noise is left out.
    """
    copied = {row.tensor for row in prepared.rows if row.action == "copied"}
    return [
        name
        for name, part in anatomy(prepared.algorithm.policy).items()
        if name in copied
        and (part.place == "statistics" or (part.role in roles and part.place != "noise"))
    ]


def frozen_after(prepared: Prepared, patterns: Sequence[str]) -> Prepared:
    """The learner with the tensors that match `patterns` frozen, out of its optimizers.

    Raises UserError for a tensor that is not the source's.
    """
    algorithm = prepared.algorithm
    action_of = {row.tensor: row.action for row in prepared.rows}
    first = {row.tensor: row.alias_of or row.tensor for row in prepared.rows}
    names = match(algorithm.policy, patterns)
    for name in names:
        action = action_of.get(first.get(name, name), "fresh")
        if action != "copied":
            raise UserError(
                f"{name} cannot be frozen: it is {action}, not the source's; "
                "allowed: tensors that are copied"
            )
    apply_modifiers(algorithm.policy, [Frozen(names=names)])
    rows = rows_of(algorithm, action_of | dict.fromkeys(names, "frozen"))
    return Prepared(algorithm, rows, (*prepared.callbacks, KeepFrozen(names)))
