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
from torch import nn

import sim2real.policies
from sim2real.config import MOST_STATES, Count, History, Updates, Worlds, parse
from sim2real.errors import unknown
from sim2real.files import read_yaml
from sim2real.policies import ALGORITHMS
from sim2real.policies.adam import Adam
from sim2real.policies.encoders import SHORTEST, ContextEncoder, Estimator, HistoryEncoder
from sim2real.policies.estimation import Estimation
from sim2real.policies.kl_adaptive import KLAdaptivePPO
from sim2real.policies.layers import Layers, Width
from sim2real.policies.normalizer import CheckedExtractor, NormalizedExtractor
from sim2real.policies.penalties import Penalties
from sim2real.policies.ppo import PPO
from sim2real.policies.rollouts import Rollouts
from sim2real.policies.sac import SAC, TD3
from sim2real.policies.symmetry import Symmetry
from sim2real.policies.worst_share import WorstShare

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU}

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
RISE = 0.5
"""Part of a training in which the discount rises from `initial_gamma` to `gamma`."""
MAX_UNSTABLE = 0.2
"""The largest share of unstable episodes that a training goes on with, by default."""


class Recipe(Estimation, Penalties):
    """What the three algorithms have in common."""

    algorithm: str
    num_envs: Worlds = 64
    learning_rate: Positive = 1e-3
    lr_schedule: Literal["constant", "linear", "kl"] = "constant"
    """`linear` decays from `learning_rate` at the first step to 0 at the last; `kl`, of PPO alone,
    adapts it to the size of the updates."""
    gamma: Fraction = 0.99
    batch_size: Annotated[int, Field(ge=2, le=MOST_STATES)] = 256
    net_arch: Layers = (64, 64)
    """Hidden layers of the actor, and of the critic unless `critic_net_arch` is given."""
    critic_net_arch: Layers | None = None
    activation: Literal["tanh", "relu", "elu"] = "tanh"
    normalize_observations: bool = True
    reward_scale: Positive = 1.0
    """Rewards are multiplied by this before learning; what is reported is not scaled."""
    history: History = 1
    """Control steps, the present one among them, of what is sensed and commanded that actor and
    critic observe at once; of a term of which the task shows more, that many."""
    encoder: Literal["stacked", "conv", "gru"] = "stacked"
    """How they see the past: `stacked` as columns, `conv` through convolutions over time, `gru`
    through a gated recurrent unit."""
    encoding: Width = 32
    """Numbers that the encoder gives."""
    privileged: bool | Literal["context"] = False
    """The critic sees what only a simulator knows (the task's privileged terms, the true
    observation, the context), or the context alone; the actor does not."""
    privileged_actor: bool = False
    """The actor sees it too: a teacher, which acts only where that is known."""
    context_encoder: Layers | None = None
    """Layers of a network through which a privileged actor sees it; the last is the encoding."""
    max_unstable: Fraction = MAX_UNSTABLE
    """The training stops when more than this share of the last 200 episodes became unstable."""
    difficulty_steps: Count | None = None
    """Control steps of pretraining in which the task's difficulty (of its start states and
    commands) rises from 0 to 1; None: it is 1 from the first. A transfer starts at 1."""

    @model_validator(mode="after")
    def _has_a_first_layer(self) -> Recipe:
        if self.is_asymmetric and not all(self.layers()):
            raise ValueError("privileged networks need a hidden layer at least")
        return self

    @model_validator(mode="after")
    def _estimates_what_the_actor_does_not_see(self) -> Recipe:
        if self.estimate and self.privileged_actor:
            raise ValueError("estimate is for an actor without privileged_actor")
        if self.estimate and self.encoder != "stacked":
            raise ValueError("estimate is for encoder stacked")
        return self

    @model_validator(mode="after")
    def _has_what_it_encodes(self) -> Recipe:
        if self.encoder != "stacked" and self.history < SHORTEST:
            raise ValueError(f"encoder {self.encoder} needs a history of at least {SHORTEST}")
        if self.context_encoder is None:
            return self
        if not (self.privileged_actor and self.context_encoder):
            raise ValueError("context_encoder needs privileged_actor=true and at least one layer")
        if self.encoder != "stacked":
            raise ValueError("context_encoder is for encoder stacked")
        return self

    @property
    def needs_privileged(self) -> bool:
        """Whether the observation must have its privileged columns."""
        return bool(self.privileged or self.privileged_actor)

    @property
    def is_asymmetric(self) -> bool:
        """Whether actor and critic may observe different columns."""
        return self.needs_privileged or bool(self.estimate)

    @property
    def needs_terms(self) -> bool:
        """Whether the networks depend on what the columns of the observation are."""
        return self.is_asymmetric or self.encoder != "stacked"

    @property
    def history_encoder(self) -> HistoryEncoder | None:
        """What the networks see the past through."""
        if self.encoder == "stacked":
            return None
        activation = ACTIVATIONS[self.activation]
        return HistoryEncoder(self.history, self.encoding, activation, self.encoder)

    @property
    def sees(self) -> dict[str, Any]:
        """The arguments of a privileged policy that say what its networks see."""
        layers, activation = self.context_encoder, ACTIVATIONS[self.activation]
        estimator = Estimator(self.estimate, self.estimator_net_arch, activation)
        return {
            "privileged_actor": self.privileged_actor,
            "context_encoder": None if layers is None else ContextEncoder(layers, activation),
            "history_encoder": self.history_encoder,
            "estimator": estimator if self.estimate else None,
        }

    @property
    def observed(self) -> dict[str, Any]:
        """The arguments of a simulation that shows what the networks observe."""
        return {"privileged": self.privileged or self.privileged_actor, "history": self.history}

    def learning_rate_at(self, remaining: float) -> float:
        """The learning rate when the part `remaining` (1 to 0) of the training is still to come."""
        return self.learning_rate * (remaining if self.lr_schedule == "linear" else 1.0)

    def layers(self) -> tuple[list[int], list[int]]:
        """Hidden layer sizes of the actor and of the critic."""
        critic = self.net_arch if self.critic_net_arch is None else self.critic_net_arch
        return list(self.net_arch), list(critic)

    def policy_options(self) -> dict[str, Any]:
        """`policy_kwargs` of stable-baselines3."""
        extractor = NormalizedExtractor if self.normalize_observations else CheckedExtractor
        return {
            "activation_fn": ACTIVATIONS[self.activation],
            "features_extractor_class": extractor,
            "optimizer_class": Adam,
            "optimizer_kwargs": {"fused": True},  # 1.2 x on the CPU
        }

    def algorithm_options(self, action_space: spaces.Box) -> dict[str, Any]:
        """Arguments of the SB3 algorithm besides the policy and the environment."""
        rate = self.learning_rate_at if self.lr_schedule == "linear" else self.learning_rate
        return {
            "learning_rate": rate,
            "gamma": self.gamma,
            "batch_size": self.batch_size,
            "policy_kwargs": self.policy_options(),
            "device": "cpu",
        }


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

    def policy_options(self) -> dict[str, Any]:
        """`policy_kwargs` of SAC."""
        return super().policy_options() | {"critic_norm": self.critic_norm}

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


def _variant(algorithm: str, name: str | None) -> dict[str, Any]:
    """The options of a variant of an algorithm's recipe; those of None are none."""
    variants: dict[str, Any] = _shipped("variants").get(algorithm, {})
    if name is None:
        return {}
    if name not in variants:
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
