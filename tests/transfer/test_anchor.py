"""Anchors: their losses in closed form, and what they do to a training."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.distributions import Independent, Normal, kl_divergence

from sim2real.errors import UserError
from sim2real.policies import ALGORITHMS
from sim2real.policies.anatomy import actor_parameters
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.transfer.anchor import Anchor
from sim2real.transfer.gaussians import actor_gaussian
from tests.training_fixtures import SMALL

Build = Callable[..., BaseAlgorithm]
SEEN = torch.linspace(-0.9, 0.9, 19)[:, None] * torch.tensor([1.0, 3.0]) + torch.tensor([0.0, 5.0])
STEPS = 512


@pytest.fixture
def build(toy: Any) -> Build:
    def build_(algorithm: str, seed: int = 0, **options: Any) -> BaseAlgorithm:
        recipe = load_recipe(algorithm, None, {**SMALL[algorithm], **options})
        return build_algorithm(recipe, toy.ToyVecEnv(recipe.num_envs, seed), seed)

    return build_


def moved(policy: Any, change: float) -> None:
    """Change all that decides the action."""
    with torch.no_grad():
        for parameter in actor_parameters(policy):
            parameter += change


def attached(algorithm: BaseAlgorithm, weight: float, **options: Any) -> Anchor:
    anchor = Anchor(algorithm.policy, weight, options.get("of", "actions"), STEPS)
    anchor.init_callback(algorithm)
    anchor.on_training_start({}, {})
    return anchor


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_loss_of_actions_is_that_of_torch(build: Build, algorithm: str) -> None:
    learner = build(algorithm)
    anchor = attached(learner, 1.0)
    start = actor_gaussian(copy.deepcopy(learner.policy), SEEN)
    assert anchor.loss(learner.policy, SEEN).item() == pytest.approx(0.0, abs=1e-6)
    moved(learner.policy, 0.1)
    now = actor_gaussian(learner.policy, SEEN)
    if start.log_std is None or now.log_std is None:
        expected = (start.mean - now.mean).square().sum(dim=1).mean()
    else:
        pair = (Independent(Normal(g.mean, g.log_std.exp()), 1) for g in (start, now))  # type: ignore[union-attr]
        expected = kl_divergence(*pair).mean()
    assert anchor.loss(learner.policy, SEEN).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_loss_of_weights_is_half_their_squared_distance(build: Build, algorithm: str) -> None:
    learner = build(algorithm)
    anchor = attached(learner, 1.0, of="weights")
    moved(learner.policy, 0.1)
    count = sum(parameter.numel() for parameter in actor_parameters(learner.policy))
    assert anchor.loss(learner.policy, SEEN).item() == pytest.approx(0.005 * count, rel=1e-4)


def test_the_weight_falls_to_0(build: Build) -> None:
    anchor = attached(build("ppo"), 2.0)
    assert [anchor.weight_at(steps) for steps in (0, 128, 512, 600)] == [2.0, 1.5, 0.0, 0.0]


@pytest.mark.parametrize("of", ["actions", "weights"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_anchored_actor_stays_near_the_start(build: Build, algorithm: str, of: str) -> None:
    """The mean action after the same training with and without an anchor of great weight."""
    distances = []
    for weight in (0.0, 100.0):
        learner = build(algorithm, seed=1, learning_rate=3e-3)
        anchor = Anchor(learner.policy, weight, of, 10 * STEPS)  # type: ignore[arg-type]
        before = actor_gaussian(learner.policy, SEEN).mean.detach()
        learner.learn(STEPS, callback=anchor if weight else None)
        after = actor_gaussian(learner.policy, SEEN).mean.detach()
        distances.append(float((after - before).abs().mean()))
    assert distances[1] < 0.3 * distances[0]


def test_after_a_training_the_optimizer_and_the_samples_are_as_before(build: Build) -> None:
    for algorithm in ("ppo", "sac"):
        learner: Any = build(algorithm)
        learner.learn(STEPS, callback=Anchor(learner.policy, 1.0, "actions", STEPS))
        owner = learner.policy if algorithm == "ppo" else learner.policy.actor
        samples = learner.rollout_buffer if algorithm == "ppo" else learner.replay_buffer
        assert "zero_grad" not in vars(owner.optimizer)
        assert not {"_get_samples", "sample"} & set(vars(samples))


def test_weights_of_which_none_learns_are_refused(build: Build) -> None:
    learner = build("td3")
    for parameter in actor_parameters(learner.policy):
        parameter.requires_grad_(False)
    with pytest.raises(UserError, match="no weight of the source learns; allowed: actions"):
        attached(learner, 1.0, of="weights")


def test_a_frozen_actor_has_no_anchor_to_follow(build: Build) -> None:
    learner = build("ppo")
    for parameter in actor_parameters(learner.policy):
        parameter.requires_grad_(False)
    learner.learn(STEPS, callback=Anchor(learner.policy, 1.0, "actions", STEPS))
    assert math.isfinite(float(np.sum(learner.predict(SEEN.numpy())[0])))
