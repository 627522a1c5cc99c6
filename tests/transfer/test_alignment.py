"""The map of a target's observations: found where it is known, and what may change of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sim2real.task import ObservationTerm
from sim2real.transfer.alignment import (
    Alignment,
    Misreading,
    Steps,
    fitted,
    free_entries,
    joined,
    train_models,
)
from sim2real.transfer.transition_models import TransitionModels

SPRING = torch.tensor([[1.0, 0.1], [-0.3, 0.9]])
TERMS = (ObservationTerm("state", 2), ObservationTerm("action", 1, commanded=True))


def steps(size: int, center: float, seed: int) -> Steps:
    """A damped spring, s' = A s + (0, a) + noise, about `center`; the action is observed next."""
    draw = torch.Generator().manual_seed(seed)
    state = center + torch.randn(size, 2, generator=draw)
    action, last = (torch.rand(size, 1, generator=draw) * 2.0 - 1.0 for _ in range(2))
    after = state @ SPRING.T + torch.cat([torch.zeros(size, 1), action], dim=1)
    after = after + 0.02 * torch.randn(size, 2, generator=draw)
    return Steps(torch.cat([state, last], 1), action, torch.cat([after, action], 1))


@pytest.fixture(scope="module")
def models() -> TransitionModels:
    torch.manual_seed(0)
    made = TransitionModels(3, 1, 1, (32,))
    train_models(made, joined([steps(4_000, 0.0, 1), steps(4_000, 2.0, 2)]), 1_500, 5e-3)
    return made.requires_grad_(False)


@pytest.mark.parametrize("mixed", [False, True])
def test_wrong_sensors_are_put_right(models: TransitionModels, mixed: bool) -> None:
    """The target shows B s + d, in states that the source hardly visits; V = B^-1, c = -V d."""
    shown = torch.eye(3)
    shown[:2, :2] = (
        torch.tensor([[1.4, 0.3], [-0.2, 0.7]]) if mixed else torch.diag(torch.tensor([1.4, 0.7]))
    )
    offset = torch.tensor([0.3, -0.2, 0.0])
    seen = Alignment(shown, offset).of(steps(2_000, 1.0, 3))
    found = fitted(models, seen, free_entries(TERMS, mixed=mixed), Alignment.identity(3))
    wanted = torch.linalg.inv(shown)
    torch.testing.assert_close(found.weight, wanted, atol=0.06, rtol=0.0)
    torch.testing.assert_close(found.bias, -wanted @ offset, atol=0.1, rtol=0.0)
    assert torch.equal(found.weight[2], torch.eye(3)[2])  # a command has no sensor
    assert found.bias[2] == 0


def test_right_sensors_stay_right(models: TransitionModels) -> None:
    free = free_entries(TERMS, mixed=False)
    found = fitted(models, steps(2_000, 1.0, 3), free, Alignment.identity(3))
    torch.testing.assert_close(found.weight, torch.eye(3), atol=0.05, rtol=0.0)


def test_a_world_is_misread_by_its_own_map() -> None:
    class Reader:
        def predict(self, observation: Any, *_: Any) -> tuple[Any, None]:
            return observation, None

    mean, std = np.array([1.0, 0.0]), np.array([2.0, 4.0])
    scale, shift = np.array([[1.0, 1.0], [3.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 0.5]])
    read, _ = Misreading(Reader(), mean, std, scale, shift).predict(np.array([[5.0, 8.0]] * 2))  # type: ignore[arg-type]
    np.testing.assert_allclose(read, [[5.0, 8.0], [13.0, 10.0]])
