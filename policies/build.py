"""The SB3 algorithm of a recipe, with an environment or without."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.errors import UserError
from sim2real.policies.allocation import memory_for
from sim2real.policies.asymmetric import (
    AsymmetricActorCriticPolicy,
    AsymmetricSACPolicy,
    AsymmetricTD3Policy,
)
from sim2real.policies.described import MlpActorCriticPolicy, MlpSACPolicy, MlpTD3Policy
from sim2real.policies.encoders import HistoryExtractor
from sim2real.policies.images import ImageExtractor, has_images
from sim2real.policies.penalties import penalized
from sim2real.policies.ppo import PPO
from sim2real.policies.recipe import AnyRecipe, PPORecipe, SACRecipe
from sim2real.policies.sac import SAC
from sim2real.policies.scaled_reward import ScaledReward
from sim2real.policies.symmetry import mirroring_in
from sim2real.task import ObservationTerm
from sim2real.torch_settings import one_thread

ASYMMETRIC: dict[str, type[BasePolicy]] = {
    "ppo": AsymmetricActorCriticPolicy,
    "sac": AsymmetricSACPolicy,
    "td3": AsymmetricTD3Policy,
}
"""The policies of a privileged recipe."""
PLAIN: dict[str, type[BasePolicy]] = {
    "ppo": MlpActorCriticPolicy,
    "sac": MlpSACPolicy,
    "td3": MlpTD3Policy,
}
"""The policies of all others."""


def build_algorithm(recipe: AnyRecipe, env: VecEnv, seed: int) -> BaseAlgorithm:
    """The SB3 algorithm of `recipe` on `env`; seeds Python, NumPy, Torch and `env` with `seed`."""
    check_spaces(env.observation_space, env.action_space)
    rewarded = with_reward_of(recipe, env)
    terms = terms_for(recipe, env)
    policy, options = _policy_and_options(recipe, env.action_space, terms)
    with warnings.catch_warnings():
        # A last minibatch that is shorter than the others is no harm
        warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
        # the first weights are orthogonal, and their last bits depend on the number of threads
        with memory_for(f"the {recipe.algorithm} recipe"), one_thread():
            algorithm = recipe.sb3(policy, rewarded, seed=seed, **options)
    if env.has_attr("action_map"):  # a foreign environment has none
        algorithm.policy.action_map = env.get_attr("action_map")[0]
    algorithm.policy.history = recipe.history  # type: ignore[assignment]
    if isinstance(algorithm, SAC) and isinstance(recipe, SACRecipe):
        algorithm.policy_delay = recipe.policy_delay
        algorithm.critic_subset = recipe.critic_subset
    if isinstance(algorithm, PPO) and isinstance(recipe, PPORecipe):
        algorithm.schedule = recipe if recipe.is_scheduled else None
        algorithm.worst = None if recipe.worst_share == 1.0 else recipe
        algorithm.mirroring = mirroring_in(env, recipe)
    return algorithm


def with_reward_of(recipe: AnyRecipe, env: VecEnv) -> VecEnv:
    """`env` with the reward that the recipe learns from: its penalties, and its scale."""
    rewarded = penalized(env, recipe)
    if recipe.reward_scale == 1.0:
        return rewarded
    return ScaledReward(rewarded, recipe.reward_scale)


def build_offline(
    recipe: AnyRecipe,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    terms: Sequence[ObservationTerm] = (),
) -> BaseAlgorithm:
    """The SB3 algorithm of `recipe` without an environment, for loading weights into.

    `terms` are those of the observation, which some recipes need to know. Draws nothing
    from the global generators of Torch.
    """
    check_spaces(observation_space, action_space)
    policy, options = _policy_and_options(recipe, action_space, terms)
    make: Any = recipe.sb3
    algorithm: BaseAlgorithm = make(policy, None, _init_setup_model=False, **options)
    algorithm.observation_space, algorithm.action_space = observation_space, action_space
    algorithm.n_envs = recipe.num_envs
    with torch.random.fork_rng(devices=[]), memory_for(f"the {recipe.algorithm} recipe"):
        algorithm._setup_model()
    algorithm.policy.history = recipe.history  # type: ignore[assignment]
    return algorithm


def observation_terms(env: VecEnv) -> tuple[ObservationTerm, ...]:
    """The terms of the observation of `env`; UserError if it has none."""
    terms: tuple[ObservationTerm, ...] | None
    try:
        terms = env.get_attr("observation_terms")[0]
    except AttributeError:
        terms = None
    if terms is None:
        raise UserError(
            "a recipe with privileged columns, estimates or an encoder needs a simulation with "
            "observation terms"
        )
    return terms


def terms_for(recipe: AnyRecipe, env: VecEnv) -> tuple[ObservationTerm, ...]:
    """The terms of the observation of `env` where a network of the recipe needs them.

    Raises UserError where there are none.
    """
    if recipe.needs_terms:
        return observation_terms(env)
    terms = terms_of(env)
    return terms if has_images(terms) else ()


def terms_of(env: VecEnv) -> tuple[ObservationTerm, ...]:
    """The terms of the observation of `env`; none where it does not tell them."""
    if not env.has_attr("observation_terms"):
        return ()
    terms: tuple[ObservationTerm, ...] | None = env.get_attr("observation_terms")[0]
    return terms or ()


def _policy_and_options(
    recipe: AnyRecipe, action_space: spaces.Space[Any], terms: Sequence[ObservationTerm]
) -> tuple[type[BasePolicy], dict[str, Any]]:
    """The policy class and the other arguments of the SB3 algorithm."""
    options = recipe.algorithm_options(action_space)  # type: ignore[arg-type]
    networks, normalize = options["policy_kwargs"], {"normalize": recipe.normalize_observations}
    if has_images(terms):
        _check_images(recipe)
    if recipe.is_asymmetric:
        del networks["features_extractor_class"]
        networks |= {"observation_terms": terms, **recipe.sees, **normalize}
        return ASYMMETRIC[recipe.algorithm], options
    if recipe.history_encoder is not None:
        given = {"terms": terms, "encoder": recipe.history_encoder, **normalize}
        networks |= {"features_extractor_class": HistoryExtractor}
        networks |= {"features_extractor_kwargs": given, "share_features_extractor": False}
    elif has_images(terms):
        given = {"terms": terms, "encoder": recipe.image_encoder, **normalize}
        networks |= {"features_extractor_class": ImageExtractor, "features_extractor_kwargs": given}
    return PLAIN[recipe.algorithm], options


def _check_images(recipe: AnyRecipe) -> None:
    """UserError for networks that see images through nothing but columns."""
    others = {
        "encoder": recipe.encoder != "stacked",
        "context_encoder": recipe.context_encoder is not None,
        "estimate": bool(recipe.estimate),
    }
    for name, is_asked in others.items():
        if is_asked:
            raise UserError(
                f"{name} is for observations without images; allowed with them: networks without "
                f"{name}, and a stack of images in the task"
            )


def check_spaces(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
    """Raise UserError unless both spaces are boxes of numbers and the actions are bounded."""
    for what, space in (("observation", observation_space), ("action", action_space)):
        if not isinstance(space, spaces.Box):
            raise UserError(f"the {what} space is {space}; allowed: a Box")
    if not np.isfinite([action_space.low, action_space.high]).all():  # type: ignore[attr-defined]
        raise UserError(f"the action space {action_space} is not bounded")
