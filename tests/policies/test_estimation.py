"""The estimator of an actor: what it reads, what it learns from, and what does not move it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import configure
from torch import nn

from sim2real.errors import UserError
from sim2real.policies.build import build_algorithm
from sim2real.policies.encoders import EstimatingExtractor, Estimator
from sim2real.policies.estimation import learn_estimates
from sim2real.policies.normalizer import update_normalizers
from sim2real.policies.recipe import load_recipe
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import ObservationTerm

TERMS = (
    ObservationTerm("a", 2),
    ObservationTerm("b", 1),
    ObservationTerm("velocity", 2, group="privileged"),
    ObservationTerm("height", 1, group="privileged"),
)
BOX = spaces.Box(-np.inf, np.inf, (6,))
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "n_epochs": 2},
    "sac": {"learning_starts": 20},
    "td3": {"learning_starts": 20},
}


def extractor(sizes: dict[str, int], terms: Any = TERMS, **options: Any) -> EstimatingExtractor:
    return EstimatingExtractor(BOX, terms, Estimator(sizes, (5,), nn.Tanh), **options)


def learner(algorithm: str, **options: Any) -> Any:
    given = {"net_arch": (8,), "batch_size": 32, "num_envs": 4, "privileged": True}
    given |= {"estimate": {"truth": 5}, **SMALL[algorithm], **options}
    recipe = load_recipe(algorithm, None, given)
    env = make_vec_env("cartpole", "randomized", num_envs=4, **recipe.observed)
    return build_algorithm(recipe, env, 0)


def test_the_estimate_is_of_what_is_sensed_and_compared_with_what_is_true() -> None:
    torch.manual_seed(0)
    seen = torch.randn(300, 6) * torch.arange(1.0, 7.0) + 4.0
    made = extractor({"height": 1, "velocity": 2})
    update_normalizers(made, seen)
    mean, std = seen.mean(dim=0), seen.std(dim=0, correction=0)
    normal = (seen - mean) / std
    first, last = (made.encoder[index] for index in (0, 2))
    with torch.no_grad():
        hidden = torch.tanh(normal[:, :3] @ first.weight.T + first.bias)  # type: ignore[operator,union-attr]
        estimate = hidden @ last.weight.T + last.bias  # type: ignore[operator,union-attr]
        features = made(seen)
        error = (estimate - normal[:, [5, 3, 4]]).square().mean()
        torch.testing.assert_close(made.error(seen), error)
    torch.testing.assert_close(features, torch.cat([normal[:, :3], estimate], dim=1))
    seen[:, 3:] = 7.0  # what is privileged does not reach an action
    torch.testing.assert_close(made(seen).detach(), features, rtol=0, atol=0)
    assert made.encoded_labels(list("abcdef")) == ["a", "b", "c"]


def test_nothing_but_the_regression_moves_the_estimator() -> None:
    made = extractor({"height": 1}, normalize=False)
    assert not made(torch.randn(4, 6)).requires_grad
    made.error(torch.randn(4, 6)).backward()  # type: ignore[no-untyped-call]
    assert all(one.grad is not None for one in made.parameters())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hight": 1}, "unknown privileged term to estimate 'hight'; did you mean 'height'"),
        ({"a": 2}, "unknown privileged term to estimate 'a'"),
        ({"velocity": 3}, "estimate: velocity is 3; the term has 2 columns"),
    ],
)
def test_wrong_terms_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        extractor(sizes)


def test_a_robot_has_nothing_to_estimate_from() -> None:
    made = extractor({"velocity": 2}, TERMS[:2])
    assert made(torch.randn(4, 3)).shape == (4, 5)
    assert made.estimated == []


def test_the_least_squares_estimate_is_found() -> None:
    """By an estimator without hidden layers."""
    given = {"estimate": {"context": 6}, "estimator_net_arch": (), "normalize_observations": False}
    model = learner("ppo", **given)
    model.set_logger(configure(format_strings=[]))
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 6))
    rows = rng.normal(size=(4_000, 16))
    rows[:, 10:] = rows[:, :5] @ weights + 0.3 * rows[:, 10:]
    seen = torch.from_numpy(rows.astype(np.float32))
    for group in model.policy.optimizer.param_groups:
        group["lr"] = 0.02
    learn_estimates(model, [seen[step % 8 :: 8] for step in range(600)])
    layer = model.policy.pi_features_extractor.encoder[0]
    fit, *_ = np.linalg.lstsq(np.c_[rows[:, :5], np.ones(4_000)], rows[:, 10:], rcond=None)
    found = np.c_[layer.weight.detach().numpy(), layer.bias.detach().numpy()].T
    np.testing.assert_allclose(found, fit, atol=0.02)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_training_learns_the_estimate(algorithm: str) -> None:
    model = learner(algorithm)
    before = {name: one.clone() for name, one in model.policy.state_dict().items()}
    model.learn(128)
    after = model.policy.state_dict()
    encoders = [name for name in before if "features_extractor.encoder." in name]
    moved = [name for name in encoders if not torch.equal(before[name], after[name])]
    assert moved == encoders
    assert not [name for name in encoders if "critic" in name or "vf_" in name]


def test_the_update_of_the_policy_is_that_of_a_constant_estimator() -> None:
    """The estimator changes after the update, so that the ratios of PPO begin at 1."""
    found = []
    for learns in (True, False):
        model = learner("ppo", n_epochs=1)
        model.policy.pi_features_extractor.requires_grad_(learns)
        model.learn(64)
        found.append(model.policy.state_dict())
    one, other = found
    different = {name for name in one if not torch.equal(one[name], other[name])}
    assert different == {name for name in one if "features_extractor.encoder." in name}
