from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sim2real.policies.build import build_algorithm
from sim2real.policies.encoders import (
    ContextEncoder,
    ContextExtractor,
    HistoryEncoder,
    HistoryExtractor,
    Recurrence,
)
from sim2real.policies.normalizer import update_normalizers
from sim2real.policies.recipe import load_recipe
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.simulation.history import frames_of
from sim2real.task import ObservationTerm

STACKED = (
    ObservationTerm("a", 6, columns=("x@-2", "y@-2", "x@-1", "y@-1", "x", "y")),
    ObservationTerm("b", 2, columns=("0@-1", "0")),
    ObservationTerm("c", 1),
    ObservationTerm("context", 2, group="privileged"),
)


def space(size: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (size,))


def test_frames_are_ordered_from_the_oldest_to_the_present() -> None:
    policy = STACKED[:3]
    assert frames_of(policy, 1).tolist() == [[4, 5, 7, 8]]
    assert frames_of(policy, 2).tolist() == [[2, 3, 6, 8], [4, 5, 7, 8]]
    four = [[0, 1, 6, 8], [0, 1, 6, 8], [2, 3, 6, 8], [4, 5, 7, 8]]  # the oldest is repeated
    assert frames_of(policy, 4).tolist() == four


def test_frames_of_a_simulation_are_what_was_observed_before() -> None:
    """In a world without noise, the frames of one step are those of the step before, moved."""
    env = make_vec_env("cartpole", "nominal", num_envs=3, history=4)
    frames = frames_of(env.simulation.policy_terms, 4)
    before = np.asarray(env.reset())[:, frames]
    assert (before == before[:, -1:]).all()
    for _ in range(6):
        seen, *_ = env.step(np.full((3, 1), 0.3, np.float32))
        after = np.asarray(seen)[:, frames]
        np.testing.assert_array_equal(after[:, :-1], before[:, 1:])
        assert (after[:, -1] != before[:, -1]).any()
        before = after


def convolved(network: nn.Sequential, frames: np.ndarray) -> np.ndarray:
    """The encoder of five time steps in NumPy, (5, k): a layer for each, one of windows, the last.

    Window i is of the time steps 2 i - 1, 2 i and 2 i + 1; beyond the ends are zeros.
    """
    weights = [one.numpy().astype(float) for one in network.state_dict().values()]
    hidden = np.tanh(frames @ weights[0][:, :, 0].T + weights[1])
    for weight, bias in (weights[2:4], weights[4:6]):
        padded = np.pad(hidden, ((1, 1), (0, 0)))
        windows = [padded[2 * i : 2 * i + 3] for i in range((len(hidden) + 1) // 2)]
        hidden = np.tanh([np.einsum("oct,tc->o", weight, one) + bias for one in windows])
    return hidden.T.reshape(-1) @ weights[6].T + weights[7]


def test_the_convolutions_are_those_of_numpy() -> None:
    torch.manual_seed(0)
    network = HistoryEncoder(5, 3, nn.Tanh).network(2)
    frames = np.random.default_rng(0).normal(size=(7, 5, 2))
    with torch.no_grad():
        given = network(torch.tensor(frames, dtype=torch.float32).transpose(1, 2)).numpy()
    expected = [convolved(network, one) for one in frames]
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)


def test_the_recurrence_is_that_of_torch() -> None:
    torch.manual_seed(0)
    own, reference = Recurrence(3, 8), nn.GRU(3, 8, batch_first=True)
    reference.load_state_dict(own.state_dict())
    past = torch.randn(6, 3, 7)
    _, last = reference(past.transpose(1, 2))
    torch.testing.assert_close(own(past), last[0])


@pytest.mark.parametrize(
    ("kind", "steps"),
    [*(("conv", steps) for steps in (2, 3, 4, 5, 6, 7, 30, 99, 100)), ("gru", 2), ("gru", 12)],
)
def test_every_time_step_counts(kind: Any, steps: int) -> None:
    torch.manual_seed(0)
    network = HistoryEncoder(steps, 4, nn.Tanh, kind).network(3)
    past = torch.randn(8, 3, steps, requires_grad=True)
    given = network(past)
    assert given.shape == (8, 4)
    given.square().sum().backward()  # type: ignore[no-untyped-call]
    assert past.grad is not None
    assert (past.grad.abs().sum(dim=0) > 0).all()


def test_what_is_shown_and_what_is_encoded() -> None:
    """Both normalized, the past as the present is."""
    torch.manual_seed(0)
    extractor = HistoryExtractor(space(11), STACKED, HistoryEncoder(3, 4, nn.Tanh))
    seen = torch.randn(200, 11) * torch.arange(1.0, 12.0) + 5.0
    update_normalizers(extractor, seen)
    mean, std = seen.mean(dim=0), seen.std(dim=0, correction=0)
    present = [4, 5, 7, 8]
    shown = [*present, 9, 10]
    with torch.no_grad():
        features = extractor(seen)
        past = (seen[:, frames_of(STACKED[:3], 3)] - mean[present]) / std[present]
        encoding = extractor.encoder(past.transpose(1, 2))
    torch.testing.assert_close(features[:, :6], (seen[:, shown] - mean[shown]) / std[shown])
    torch.testing.assert_close(features[:, 6:], encoding, rtol=1e-4, atol=1e-4)
    assert extractor.feature_labels(list("abcdefghijk")) == [
        *"efhijk",
        *(f"encoding {index}" for index in range(4)),
    ]


def test_the_actor_sees_the_context_through_the_encoding_alone() -> None:
    """With one number as encoding the gradients of all features by the context are parallel."""
    torch.manual_seed(0)
    extractor = ContextExtractor(space(11), STACKED, ContextEncoder((5, 1), nn.Tanh), False)
    seen = torch.randn(11, requires_grad=True)
    jacobian: Any = torch.autograd.functional.jacobian(lambda x: extractor(x[None])[0], seen)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(jacobian[:9, :9], torch.eye(9))
    assert (jacobian[:9, 9:] == 0).all()
    assert (jacobian[9, :9] == 0).all()
    assert (jacobian[9, 9:] != 0).all()
    first, last = extractor.encoder[0], extractor.encoder[2]
    with torch.no_grad():
        hidden = torch.tanh(seen[9:] @ first.weight.T + first.bias)  # type: ignore[operator,union-attr]
        expected = hidden @ last.weight.T + last.bias  # type: ignore[operator,union-attr]
    torch.testing.assert_close(extractor(seen[None])[0, 9:], expected)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
@pytest.mark.parametrize(
    "options",
    [
        {"encoder": "conv", "history": 3},
        {"encoder": "conv", "history": 3, "privileged": True},
        {"encoder": "gru", "history": 3},
        {"context_encoder": (4, 2), "privileged_actor": True},
    ],
    ids=["memory", "privileged", "recurrent", "teacher"],
)
def test_training_moves_every_encoder(algorithm: str, options: dict[str, Any]) -> None:
    small = {"n_steps": 16} if algorithm == "ppo" else {"learning_starts": 20}
    given = {"net_arch": (8,), "batch_size": 32, "num_envs": 4, **small, **options}
    recipe = load_recipe(algorithm, None, given)
    env = make_vec_env("cartpole", "randomized", num_envs=4, **recipe.observed)
    model = build_algorithm(recipe, env, 0)
    before = {name: one.clone() for name, one in model.policy.state_dict().items()}
    model.learn(128)
    after = model.policy.state_dict()
    encoders = [name for name in before if ".encoder." in name]
    assert encoders
    assert not [name for name in encoders if torch.equal(before[name], after[name])]
