from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from sim2real.errors import UserError
from sim2real.transfer.gaussians import (
    DiagonalGaussian,
    actor_gaussian,
    huber,
    kl_divergence,
    negative_log_likelihood,
    squared_error,
)


def gaussians(seed: int = 0) -> tuple[DiagonalGaussian, DiagonalGaussian]:
    torch.manual_seed(seed)
    left = DiagonalGaussian(torch.randn(5, 3), 0.3 * torch.randn(5, 3))
    return left, DiagonalGaussian(torch.randn(5, 3), 0.3 * torch.randn(5, 3))


def torch_normal(gaussian: DiagonalGaussian) -> Independent:
    assert gaussian.log_std is not None
    return Independent(Normal(gaussian.mean, gaussian.log_std.exp()), 1)


def test_kl_equals_that_of_torch() -> None:
    teacher, student = gaussians()
    expected = torch.distributions.kl_divergence(torch_normal(teacher), torch_normal(student))
    torch.testing.assert_close(kl_divergence(teacher, student), expected)


def test_kl_by_hand() -> None:
    # KL(N(0, 1) || N(1, 2^2)) = log 2 + (1 + 1) / (2 * 4) - 1/2
    teacher = DiagonalGaussian(torch.zeros(1, 1), torch.zeros(1, 1))
    student = DiagonalGaussian(torch.ones(1, 1), torch.full((1, 1), math.log(2.0)))
    assert kl_divergence(teacher, student).item() == pytest.approx(math.log(2.0) + 0.25 - 0.5)


def test_kl_equals_the_integral() -> None:
    teacher = DiagonalGaussian(torch.tensor([[0.3]]), torch.tensor([[-0.5]]))
    student = DiagonalGaussian(torch.tensor([[-0.4]]), torch.tensor([[0.1]]))
    p = scipy.stats.norm(0.3, math.exp(-0.5))
    q = scipy.stats.norm(-0.4, math.exp(0.1))
    expected, _ = scipy.integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -8, 8)
    assert kl_divergence(teacher, student).item() == pytest.approx(expected, rel=1e-5)


def test_the_mean_likelihood_is_the_divergence_and_the_entropy() -> None:
    teacher, student = gaussians()
    expected = kl_divergence(teacher, student) + torch_normal(teacher).entropy()
    torch.manual_seed(3)
    drawn = torch.stack([negative_log_likelihood(teacher, student) for _ in range(20_000)])
    error = drawn.std(dim=0) / math.sqrt(len(drawn))
    assert ((drawn.mean(dim=0) - expected).abs() < 5.0 * error).all()


def test_hubers_loss_is_quadratic_near_0_and_linear_far_away() -> None:
    teacher = DiagonalGaussian(torch.tensor([[0.0, 0.0], [0.0, 0.5]]), None)
    student = DiagonalGaussian(torch.tensor([[0.4, -3.0], [0.0, 0.5]]), None)
    assert huber(teacher, student).tolist() == pytest.approx([0.08 + 2.5, 0.0])
    squashed = 0.5 * math.tanh(0.4) ** 2 + 0.5 * math.tanh(3.0) ** 2
    pair = (DiagonalGaussian(one.mean, None, squashed=True) for one in (teacher, student))
    assert huber(*pair)[0].item() == pytest.approx(squashed)


def test_kl_of_squashed_actions_is_that_before_the_squash() -> None:
    teacher, student = (
        DiagonalGaussian(0.5 * side.mean.double(), side.log_std.double() - 1.0)  # type: ignore[union-attr]
        for side in gaussians(1)
    )
    left, right = (
        TransformedDistribution(torch_normal(side), [TanhTransform(cache_size=1)])
        for side in (teacher, student)
    )
    torch.manual_seed(2)
    actions = left.sample((200_000,))
    ratios = left.log_prob(actions) - right.log_prob(actions)
    error = ratios.std(dim=0) / math.sqrt(len(ratios))
    difference = (ratios.mean(dim=0) - kl_divergence(teacher, student)).abs()
    assert (difference < 5.0 * error).all()


def test_kl_of_equals_is_zero_and_has_no_gradient() -> None:
    mean = torch.randn(4, 2, requires_grad=True)
    same = DiagonalGaussian(mean, torch.zeros(4, 2))
    divergence = kl_divergence(DiagonalGaussian(mean.detach(), torch.zeros(4, 2)), same)
    assert divergence.abs().max() == 0.0
    divergence.sum().backward()
    assert mean.grad is not None
    assert mean.grad.abs().max() == 0.0


def test_squared_error_compares_actions() -> None:
    left = DiagonalGaussian(torch.tensor([[0.5, 9.0]]), None)
    right = DiagonalGaussian(torch.tensor([[0.0, 8.0]]), None)
    assert squared_error(left, right).item() == pytest.approx(1.25)
    expected = np.tanh(0.5) ** 2 + (np.tanh(9.0) - np.tanh(8.0)) ** 2
    squashed = (DiagonalGaussian(one.mean, None, squashed=True) for one in (left, right))
    assert squared_error(*squashed).item() == pytest.approx(expected)
    mixed = squared_error(left, DiagonalGaussian(right.mean, None, squashed=True)).item()
    assert mixed == pytest.approx(0.5**2 + (9.0 - np.tanh(8.0)) ** 2)


def test_a_deterministic_actor_has_no_kl() -> None:
    actor = DiagonalGaussian(torch.zeros(1, 1), None)
    with pytest.raises(UserError, match="loss='mse'"):
        kl_divergence(actor, actor)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_actor_gaussian_is_what_the_policy_plays(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    policy = build(algorithm, counting(4)).policy
    observations = np.random.default_rng(0).normal(size=(6, 3))
    with torch.no_grad():
        gaussian = actor_gaussian(policy, torch.as_tensor(observations))
    actions, _ = policy.predict(observations, deterministic=True)
    mean = torch.tanh(gaussian.mean) if algorithm == "sac" else gaussian.mean
    np.testing.assert_allclose(actions, np.clip(mean.numpy(), -1, 1), atol=1e-6)
    assert (gaussian.log_std is None) == (algorithm == "td3")
