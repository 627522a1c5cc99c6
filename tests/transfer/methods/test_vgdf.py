"""The models of the target and the selection by value, compared with closed forms."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sim2real.transfer.methods.vgdf import SelectedSamples, proximity, values
from sim2real.transfer.transition_models import TransitionModels

GAIN, SPREAD = 0.5, 0.1


def samples(size: int, gain: float = GAIN) -> Any:
    """s' = s + gain a + 0.1 N(0, 1), with states around 5."""
    states, actions = 5.0 + torch.randn(size, 1), torch.rand(size, 1) * 2.0 - 1.0
    after = states + gain * actions + SPREAD * torch.randn(size, 1)
    return SimpleNamespace(observations=states, actions=actions, next_observations=after)


@pytest.fixture(scope="module")
def models() -> TransitionModels:
    torch.manual_seed(0)
    made = TransitionModels(1, 1, 3, (32,))
    optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
    for _ in range(500):
        loss = made.loss(samples(128))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return made


def test_every_model_has_the_mean_and_spread_of_the_target(models: TransitionModels) -> None:
    torch.manual_seed(1)
    seen = samples(4_000)
    drawn = models.draw(seen)
    assert drawn.shape == (3, 4_000, 1)
    errors = drawn - seen.observations - GAIN * seen.actions
    assert errors.mean(dim=1).abs().max() < 0.03
    assert torch.allclose(errors.std(dim=1), torch.tensor(SPREAD), atol=0.025)


def test_the_proximity_is_the_log_likelihood_of_a_gaussian() -> None:
    fictitious = torch.tensor([[1.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    value = torch.tensor([2.5, 2.0], dtype=torch.float64)
    mean, std = torch.tensor([2.0, 2.0]), torch.tensor([2.0, 8.0]).sqrt()
    expected = torch.distributions.Normal(mean, std).log_prob(value) + 0.5 * np.log(2.0 * np.pi)
    assert torch.allclose(proximity(value, fictitious), expected.double(), atol=1e-5)


def test_the_value_is_the_least_of_the_policys_action(build: Callable[..., Any], toy: Any) -> None:
    algorithm = build("sac", toy.ToyVecEnv(2))
    seen = torch.randn(5, 2)
    actions = torch.as_tensor(algorithm.predict(seen.numpy(), deterministic=True)[0])
    with torch.no_grad():
        both = torch.cat(algorithm.critic_target(seen, actions), dim=1)
    assert torch.allclose(values(algorithm, seen), both.min(dim=1).values, atol=1e-6)


def test_what_the_target_values_alike_is_selected(
    models: TransitionModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a source with the target's dynamics and others, by a value that is the state."""
    monkeypatch.setattr("sim2real.transfer.methods.vgdf.values", lambda _, seen: seen[:, 0])
    torch.manual_seed(2)
    alike, others = samples(200), samples(200, gain=4.0)
    columns = [
        torch.cat([getattr(one, name) for one in (alike, others)])
        for name in ("observations", "actions", "next_observations")
    ]
    is_other = (torch.arange(400) >= 200).float().unsqueeze(1)
    drawn = (*columns, torch.zeros(400, 1), is_other)
    source: Any = SimpleNamespace(
        sample=lambda size: ReplayBufferSamples(*(one[:size] for one in drawn))
    )
    algorithm: Any = SimpleNamespace(num_timesteps=9)
    given: Any = {"algorithm": algorithm, "candidates": 4, "after": 10}
    sampler = SelectedSamples(models, 1e-3, **given)
    assert sampler.sample(source, 100).actions.equal(columns[1][:100])  # not yet
    algorithm.num_timesteps = 10
    chosen = sampler.sample(source, 100)
    changes = chosen.next_observations - chosen.observations
    assert len(changes) == 100
    assert (changes - GAIN * chosen.actions).abs().max() < 0.6
    assert float(chosen.rewards.mean()) < 0.1  # the others, where their action is small
