"""H2O's penalty: by hand, and what it does to values."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from sim2real.errors import UserError
from sim2real.transfer.find import load_method
from sim2real.transfer.value_penalty import ValuePenalty


class Known(torch.nn.Module):
    """log p_target / p_source = -s, so that the gap of a sample is its state."""

    def log_ratio(self, samples: Any) -> torch.Tensor:
        return -samples.observations[:, 0]


def samples(states: list[float]) -> Any:
    seen = torch.tensor(states).unsqueeze(1)
    return SimpleNamespace(observations=seen, actions=torch.zeros(len(states), 1))


def penalty(critic: Any, weight: float = 1.0, latest: Any = ()) -> ValuePenalty:
    made = ValuePenalty(SimpleNamespace(latest=latest), Known(), weight)  # type: ignore[arg-type]
    made.model = SimpleNamespace(critic=critic, logger=Logger(None, []))  # type: ignore[assignment]
    return made


def test_the_penalty_is_the_weighted_soft_maximum_less_the_mean_of_the_target() -> None:
    def critic(seen: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return 2.0 * seen, -seen

    found = penalty(critic).loss(samples([1.0, 3.0]), samples([1.0, 4.0, -2.0]))
    shares = np.array([1.0, 4.0, 1e-3]) / 5.001  # the target is likelier where s < 0
    states = np.array([1.0, 4.0, -2.0])
    first = np.log((shares * np.exp(2.0 * states)).sum()) - 4.0
    second = np.log((shares * np.exp(-states)).sum()) + 2.0
    assert float(found) == pytest.approx(first + second, rel=1e-5)


def test_values_fall_where_the_dynamics_differ(build: Callable[..., Any], toy: Any) -> None:
    """Of states of the gaps 3 and 0, with no other loss; those of the target rise."""
    algorithm = build("td3", toy.ToyVecEnv(2))
    critic, rows = algorithm.critic, torch.tensor([[3.0, 3.0], [0.0, 0.0], [-3.0, 3.0]])
    still = torch.zeros(1, 1)
    parts = [
        SimpleNamespace(observations=rows[2:], actions=still),
        SimpleNamespace(observations=rows[:2], actions=still.expand(2, 1)),
    ]
    added = penalty(critic, 1.0, parts)

    def values() -> torch.Tensor:
        with torch.no_grad():
            return torch.cat(critic(rows, still.expand(3, 1)), dim=1).mean(dim=1)

    before = values()
    added._on_training_start()
    for _ in range(20):
        critic.optimizer.zero_grad()
        critic.optimizer.step()
    added._on_training_end()
    change = values() - before
    assert change[0] < change[1]
    assert change[0] < 0 < change[2]
    critic.optimizer.zero_grad()
    assert all(one.grad is None or not one.grad.any() for one in critic.parameters())


def test_a_penalty_needs_both_domains() -> None:
    with pytest.raises(UserError, match="a penalty compares two domains"):
        load_method("mixed_replay", {"penalty": 0.1, "target_share": 1.0})
