from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from sim2real.policies.build import build_offline
from sim2real.policies.normalizer import (
    NormalizedExtractor,
    RunningNormalizer,
    normalizers,
    update_normalizers,
)
from sim2real.policies.recipe import load_recipe

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,))
ACTIONS = spaces.Box(-1.0, 1.0, (2,))


def batches() -> list[Tensor]:
    rng = np.random.default_rng(0)
    scales = np.array([1.0, 1e-3, 1e4])
    return [torch.as_tensor(rng.normal(5.0, 1.0, (m, 3)) * scales) for m in (1, 7, 64, 2)]


def test_statistics_are_those_of_all_batches_together() -> None:
    normalizer = RunningNormalizer(3)
    for batch in batches():
        normalizer.update(batch)
    together = torch.cat(batches()).numpy()
    assert normalizer.count == len(together) == 74
    np.testing.assert_allclose(normalizer.running_mean, together.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(normalizer.running_var, together.var(axis=0), rtol=1e-12)


def test_two_observations_by_hand() -> None:
    normalizer = RunningNormalizer(1)
    normalizer.update(torch.tensor([[1.0], [3.0]]))  # mean 2, variance 1
    assert normalizer.running_mean.item() == 2.0
    assert normalizer.running_var.item() == 1.0
    assert normalizer(torch.tensor([[4.0]])).item() == pytest.approx(2.0)
    assert normalizer(torch.tensor([[400.0]])).item() == 10.0  # clipped


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_does_not_poison(bad: float) -> None:
    clean, poisoned = RunningNormalizer(3), RunningNormalizer(3)
    for batch in batches():
        clean.update(batch)
        spoiled = torch.cat([batch, torch.tensor([[1.0, bad, 2.0]])])
        poisoned.update(spoiled)
    poisoned.update(torch.full((4, 3), bad))
    for name, value in clean.state_dict().items():
        assert torch.equal(value, poisoned.state_dict()[name])
    assert torch.isfinite(poisoned(torch.full((1, 3), bad))).all()


def test_before_the_first_update_observations_pass() -> None:
    observation = torch.tensor([[0.5, -2.0, 3.0]])
    torch.testing.assert_close(RunningNormalizer(3)(observation), observation)


def test_a_constant_entry_stays_finite() -> None:
    normalizer = RunningNormalizer(1)
    normalizer.update(torch.ones(10, 1))
    assert normalizer(torch.ones(1, 1)).item() == 0.0
    assert normalizer(torch.full((1, 1), 2.0)).item() == 10.0


def test_a_billion_observations_still_move_the_mean() -> None:
    normalizer = RunningNormalizer(1)
    normalizer.count.fill_(1e9)
    normalizer.update(torch.full((1000, 1), 1000.0))
    assert normalizer.running_mean.item() == pytest.approx(1e-3, rel=1e-5)  # 1e6 / (1e9 + 1e3)


@pytest.mark.parametrize(("algorithm", "distinct"), [("ppo", 1), ("sac", 3), ("td3", 4)])
def test_every_network_of_a_policy_has_the_same_statistics(algorithm: str, distinct: int) -> None:
    policy = build_offline(load_recipe(algorithm), OBSERVATIONS, ACTIONS).policy
    found = normalizers(policy)
    assert len(found) == distinct
    update_normalizers(policy, batches()[2])
    for normalizer in found:
        assert normalizer.count == 64
        assert torch.equal(normalizer.running_mean, found[0].running_mean)
    assert not [name for name, _ in policy.named_parameters() if "running_" in name]
    names = [name for name in policy.state_dict() if name.endswith("running_mean")]
    assert names


def test_extractor_flattens() -> None:
    extractor = NormalizedExtractor(spaces.Box(-1.0, 1.0, (2, 3)))
    assert extractor.features_dim == 6
    assert extractor(torch.zeros(5, 2, 3)).shape == (5, 6)
