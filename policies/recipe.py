"""Recipes: the typed hyperparameters of an algorithm, as `build` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from pydantic import Field, model_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise

import sim2real.policies
from sim2real.config import MOST_STATES, Count, Updates, parse
from sim2real.errors import unknown
from sim2real.files import read_yaml
from sim2real.policies import ALGORITHMS
from sim2real.policies.base_recipe import (
    ACTIVATIONS,
    MAX_UNSTABLE,
    Fraction,
    NotNegative,
    Positive,
    Recipe,
)
from sim2real.policies.kl_adaptive import KLAdaptivePPO
from sim2real.policies.ppo import PPO
from sim2real.policies.rollouts import Rollouts
from sim2real.policies.sac import SAC, TD3
from sim2real.policies.symmetry import Symmetry
from sim2real.policies.worst_share import WorstShare

__all__ = [
    "ACTIVATIONS",
    "MAX_UNSTABLE",
    "RECIPES",
    "AnyRecipe",
    "Fraction",
    "NotNegative",
    "PPORecipe",
    "Positive",
    "Recipe",
    "SACRecipe",
    "TD3Recipe",
    "load_recipe",
    "parse_recipe",
]

RISE = 0.5
"""Part of a training in which the discount rises from `initial_gamma` to `gamma`."""


def between(first: float | None, last: float, done: float) -> float:
    """What goes from `first` to `last` in a line, when the part `done` (0 to 1) of it is done.

    >>> between(2.0, 1.0, 0.25), between(None, 1.0, 0.25)
    (1.75, 1.0)
    """
    return last if first is None else first + (last - first) * min(done, 1.0)


class PPORecipe(Symmetry, WorstShare, Recipe):
    """Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347)."""

    algorithm: Literal["ppo"] = "ppo"
    batch_size: Annotated[int, Field(ge=2, le=MOST_STATES)] = 1024
    n_steps: Annotated[int, Field(ge=2)] = 64
    """Control steps of each world in one rollout."""
    n_epochs: Updates = 5
    gae_lambda: Fraction = 0.95
    clip_range: Positive = 0.2
    ent_coef: NotNegative = 0.0
    vf_coef: Positive = 0.5
    max_grad_norm: Positive = 0.5
    initial_gamma: Fraction | None = None
    """The discount at the first step of a pretraining; None: `gamma`. The horizon 1 / (1 - gamma)
    rises linearly from that of `initial_gamma` to that of `gamma` over the first half (after
    Francois-Lavet et al. 2015, arXiv:1512.02011)."""
    target_kl: Positive | None = 0.03
    """An update stops early beyond 1.5 times this Kullback-Leibler divergence."""
    log_std_init: float = -0.5
    initial_ent_coef: NotNegative | None = None
    """The weight of the entropy at the first step of a pretraining, which goes to `ent_coef` in a
    line until the last; None: `ent_coef`."""
    final_log_std: float | None = None
    """An upper limit of the log standard deviations, which goes from `log_std_init` to this in a
    line until the last step of a pretraining; None: no limit."""

    @model_validator(mode="after")
    def _horizon_rises(self) -> PPORecipe:
        if self.initial_gamma is not None and not self.initial_gamma <= self.gamma < 1.0:
            least = self.initial_gamma
            raise ValueError(f"gamma is from {least} to below 1; for less, set initial_gamma=null")
        return self

    def gamma_at(self, done: float) -> float:
        """The discount when the part `done` (0 to 1) of the training is done.

        >>> recipe = PPORecipe(initial_gamma=0.98, gamma=0.99)
        >>> [round(recipe.gamma_at(done), 4) for done in (0.0, 0.25, 0.5, 1.0)]
        [0.98, 0.9867, 0.99, 0.99]
        """
        if self.initial_gamma is None:
            return self.gamma
        first, last = 1.0 / (1.0 - self.initial_gamma), 1.0 / (1.0 - self.gamma)
        return 1.0 - 1.0 / (first + (last - first) * min(done / RISE, 1.0))

    def ent_coef_at(self, done: float) -> float:
        """The weight of the entropy when the part `done` (0 to 1) of the training is done."""
        return between(self.initial_ent_coef, self.ent_coef, done)

    def most_log_std_at(self, done: float) -> float | None:
        """The largest log standard deviation when the part `done` (0 to 1) is done."""
        last = self.final_log_std
        return None if last is None else between(self.log_std_init, last, done)

    @property
    def is_scheduled(self) -> bool:
        """Whether an option changes in the course of the training, beside the learning rate."""
        changing = (self.initial_gamma, self.initial_ent_coef, self.final_log_std)
        return any(one is not None for one in changing)

    @property
    def sb3(self) -> type[BaseAlgorithm]:
        """The algorithm's class."""
        return KLAdaptivePPO if self.lr_schedule == "kl" else PPO

    def policy_options(self) -> dict[str, Any]:
        """`policy_kwargs` of PPO: two networks behind one normalizer, Adam with eps 1e-5."""
        actor, critic = self.layers()
        options = super().policy_options()
        options["optimizer_kwargs"] |= {"eps": 1e-5}
        return options | {
            "net_arch": {"pi": actor, "vf": critic},
            "log_std_init": self.log_std_init,
        }

    def algorithm_options(self, action_space: spaces.Box) -> dict[str, Any]:
        """Arguments of `stable_baselines3.PPO`."""
        names = ("n_steps", "n_epochs", "gae_lambda", "clip_range", "ent_coef", "vf_coef")
        own = {name: getattr(self, name) for name in (*names, "max_grad_norm", "target_kl")}
        return super().algorithm_options(action_space) | own | {"rollout_buffer_class": Rollouts}


class OffPolicyRecipe(Recipe):
    """What SAC and TD3 have in common."""

    num_envs: Count = 16
    lr_schedule: Literal["constant", "linear"] = "constant"
    activation: Literal["tanh", "relu", "elu"] = "relu"
    buffer_size: Count = 200_000
    learning_starts: Annotated[int, Field(ge=0)] = 2_000
    """Control steps of uniform random actions before the first update."""
    tau: Annotated[float, Field(gt=0.0, le=1.0)] = 0.005
    train_freq: Count = 4
    """Control steps of each world between updates."""
    gradient_steps: Updates = 8
    """Updates after each `train_freq` steps."""
    n_step: Annotated[int, Field(ge=1, le=100)] = 1
    """Control steps whose rewards a value is learned from, before the next value."""

    def policy_options(self) -> dict[str, Any]:
        """`policy_kwargs` of SAC and TD3: actor and critics with a normalizer each."""
        actor, critic = self.layers()
        return super().policy_options() | {"net_arch": {"pi": actor, "qf": critic}}

    def algorithm_options(self, action_space: spaces.Box) -> dict[str, Any]:
        """Arguments of both algorithms."""
        names = ("buffer_size", "learning_starts", "tau", "train_freq", "gradient_steps")
        own = {name: getattr(self, name) for name in names}
        return super().algorithm_options(action_space) | own | {"n_steps": self.n_step}


class SACRecipe(OffPolicyRecipe):
    """Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905)."""

    sb3: ClassVar[type[BaseAlgorithm]] = SAC

    algorithm: Literal["sac"] = "sac"
    ent_coef: Positive | Literal["auto"] = "auto"
    """Temperature; `auto` learns it from `initial_ent_coef` towards the target entropy."""
    initial_ent_coef: Positive = 1.0
    target_entropy: float | Literal["auto"] = "auto"
    """`auto`: minus the number of actions."""
    policy_delay: Updates = 1
    """Updates of the critics for one of the actor."""
    critic_norm: Literal["layer", "batch"] | None = None
    """Normalizes the hidden layers of the critics; with `batch` there are no target networks."""
    critics: Annotated[int, Field(ge=1, le=100)] = 2
    """Q functions. The least value of all is learned from, by the actor, too."""
    critic_subset: Annotated[int, Field(ge=1)] | None = None
    """Critics, drawn anew in each update, whose least value is learned from in place of that of
    all; the actor then learns from the mean of all."""

    @model_validator(mode="after")
    def _has_so_many_critics(self) -> SACRecipe:
        if self.critic_subset is not None and self.critic_subset > self.critics:
            raise ValueError(f"critic_subset is at most {self.critics}, the number of critics")
        return self

    def policy_options(self) -> dict[str, Any]:
        """`policy_kwargs` of SAC."""
        own = {"critic_norm": self.critic_norm, "n_critics": self.critics}
        return super().policy_options() | own

    def algorithm_options(self, action_space: spaces.Box) -> dict[str, Any]:
        """Arguments of `stable_baselines3.SAC`."""
        actions = int(np.prod(action_space.shape))
        entropy = -float(actions) if self.target_entropy == "auto" else self.target_entropy
        learned = self.ent_coef == "auto"
        temperature = f"auto_{self.initial_ent_coef}" if learned else self.ent_coef
        own = {"ent_coef": temperature, "target_entropy": entropy}
        return super().algorithm_options(action_space) | own


class TD3Recipe(OffPolicyRecipe):
    """Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477)."""

    sb3: ClassVar[type[BaseAlgorithm]] = TD3

    algorithm: Literal["td3"] = "td3"
    action_noise: NotNegative = 0.1
    """Standard deviation of the exploration noise, for actions scaled to [-1, 1]."""
    policy_delay: Updates = 2
    target_policy_noise: NotNegative = 0.2
    target_noise_clip: NotNegative = 0.5

    def algorithm_options(self, action_space: spaces.Box) -> dict[str, Any]:
        """Arguments of `stable_baselines3.TD3`."""
        shape = action_space.shape
        noise = NormalActionNoise(np.zeros(shape), np.full(shape, self.action_noise))
        names = ("policy_delay", "target_policy_noise", "target_noise_clip")
        own = {name: getattr(self, name) for name in names}
        return super().algorithm_options(action_space) | own | {"action_noise": noise}


AnyRecipe = PPORecipe | SACRecipe | TD3Recipe
RECIPES: dict[str, type[AnyRecipe]] = dict(
    zip(ALGORITHMS, (PPORecipe, SACRecipe, TD3Recipe), strict=True)
)


def load_recipe(
    algorithm: str, task_name: str | None = None, overrides: Mapping[str, Any] | None = None
) -> AnyRecipe:
    """The tuned recipe of `algorithm` for a task, with `overrides` by name.

    Later wins: the defaults of the class, `default` in policies/recipes/<algorithm>.yaml, the
    task's entry there, the `variant` of policies/recipes/variants.yaml that `overrides` names, the
    other `overrides`. Raises UserError for an algorithm, an option or a value that is not allowed.
    """
    if algorithm not in RECIPES:
        raise unknown("algorithm", algorithm, ALGORITHMS)
    recipes = _shipped(algorithm)
    tuned = {**recipes["default"], **recipes.get(task_name or "", {})}
    own = dict(overrides or {})
    return parse_recipe(
        algorithm, {**tuned, **_variant(algorithm, own.pop("variant", None)), **own}
    )


def _variant(algorithm: str, name: Any) -> dict[str, Any]:
    """The options of a variant of an algorithm's recipe; those of None are none."""
    variants: dict[str, Any] = _shipped("variants").get(algorithm, {})
    if name is None:
        return {}
    if name not in [*variants]:  # a list of names is no key
        raise unknown(f"{algorithm} variant", name, variants)
    return dict(variants[name])


def _shipped(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(
        Path(sim2real.policies.__file__).parent / "recipes" / f"{name}.yaml"
    )
    return found


def parse_recipe(algorithm: str, options: Mapping[str, Any]) -> AnyRecipe:
    """A recipe from its options, as in a run's config; UserError names the option that is wrong."""
    if algorithm not in RECIPES:
        raise unknown("algorithm", algorithm, ALGORITHMS)
    allowed = [name for name in RECIPES[algorithm].model_fields if name != "algorithm"]
    for name in options:
        if name not in (*allowed, "algorithm"):
            raise unknown(f"{algorithm} option", name, allowed)
    return parse(RECIPES[algorithm], options, f"{algorithm} options")
