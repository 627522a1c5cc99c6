"""The ratio of dynamics that the classifiers learn, compared with the closed form of Gaussians."""

from __future__ import annotations

import math

import pytest
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from sim2real.transfer.classifiers import ClassifierSampler, DomainClassifiers, step_of

SPREAD = 0.2
"""Standard deviation of the change s' - s, whose mean is `gain` times the action."""
GAIN = {"source": 1.0, "target": 0.7}


def drawn(domain: str, size: int) -> ReplayBufferSamples:
    """States around 5; the actions of the domains differ, which is not to be seen in the ratio."""
    states = 5.0 + torch.randn(size, 1)
    center = {"source": -0.3, "target": 0.3}[domain]
    actions = (center + 0.5 * torch.randn(size, 1)).clamp(-1.0, 1.0)
    after = states + GAIN[domain] * actions + SPREAD * torch.randn(size, 1)
    nothing = torch.zeros(size, 1)
    return ReplayBufferSamples(states, actions, after, nothing, nothing)


def exact(samples: ReplayBufferSamples) -> Tensor:
    """((c - 1.0 a)^2 - (c - 0.7 a)^2) / (2 * 0.2^2) with c the change: equal constants cancel."""
    change, action = (samples.next_observations - samples.observations)[:, 0], samples.actions[:, 0]
    errors = {domain: (change - gain * action).square() for domain, gain in GAIN.items()}
    return (errors["source"] - errors["target"]) / (2.0 * SPREAD**2)


@pytest.fixture(scope="module")
def sampler() -> ClassifierSampler:
    """Trained on 600 batches of both domains."""
    torch.manual_seed(0)
    made = ClassifierSampler(DomainClassifiers(1, 1, (32, 32), noise=0.0), 3e-3)
    for _ in range(600):
        losses = made.learn(drawn("source", 256), drawn("target", 256))
    assert losses["domains_loss"] < 2.0 * math.log(2.0) - 0.2
    return made


def test_the_ratio_is_that_of_the_gaussians(sampler: ClassifierSampler) -> None:
    torch.manual_seed(1)
    for domain in GAIN:
        samples = drawn(domain, 4_000)
        found, expected = sampler.classifiers.log_ratio(samples), exact(samples)
        assert float((found - expected).abs().mean()) < 0.2
        assert float(torch.corrcoef(torch.stack([found, expected]))[0, 1]) > 0.97


def test_the_mean_in_the_source_is_minus_the_divergence(sampler: ClassifierSampler) -> None:
    """-KL = -E (0.3 a)^2 / (2 * 0.2^2), the expected correction of a reward."""
    torch.manual_seed(2)
    samples = drawn("source", 20_000)
    divergence = float((0.3 * samples.actions).square().mean()) / (2.0 * SPREAD**2)
    assert float(sampler.classifiers.log_ratio(samples).mean()) == pytest.approx(
        -divergence, abs=0.06
    )


def test_the_ratio_is_not_bounded(sampler: ClassifierSampler) -> None:
    """A softmax before the cross-entropy would keep each of the two logits within +-1."""
    far = ReplayBufferSamples(
        torch.full((1, 1), 5.0), torch.ones(1, 1), torch.full((1, 1), 6.4), *torch.zeros(2, 1, 1)
    )
    assert float(exact(far)) == pytest.approx((0.4**2 - 0.7**2) / 0.08)  # -4.1
    assert float(sampler.classifiers.log_ratio(far)) < -2.5


def test_the_inputs_are_state_action_and_change() -> None:
    rows = [torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5]]), torch.tensor([[1.5, 1.0]])]
    samples = ReplayBufferSamples(*rows, *torch.zeros(2, 1, 1))
    assert step_of(samples).tolist() == [[1.0, 2.0, 0.5, 0.5, -1.0]]


def test_noise_is_added_in_learning_alone() -> None:
    torch.manual_seed(0)
    classifiers = DomainClassifiers(1, 1, (8,), noise=1.0)
    source, target = drawn("source", 64), drawn("target", 64)
    losses = [float(classifiers.loss(source, target).detach()) for _ in range(2)]
    ratios = [classifiers.log_ratio(source) for _ in range(2)]
    assert losses[0] != losses[1]
    assert torch.equal(*ratios)
