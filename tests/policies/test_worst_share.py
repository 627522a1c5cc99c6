from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sim2real.errors import UserError
from sim2real.policies.recipe import parse_recipe
from sim2real.policies.rollouts import Rollouts
from sim2real.policies.worst_share import lowest, predicted_returns


def test_returns_that_depend_on_contexts_and_their_squares_are_predicted() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.uniform([0.5, -3.0, 7.0], [2.0, 9.0, 7.0], (2, 4000, 3))

    def value(contexts: Any) -> Any:
        return 3.0 + 2.0 * contexts[:, 0] - (contexts[:, 1] - 1.0) ** 2

    noisy = value(known) + rng.normal(0.0, 1.0, len(known))
    assert predicted_returns(known, noisy, asked) == pytest.approx(value(asked), abs=0.3)


def test_a_few_episodes_do_not_make_a_trend() -> None:
    known, returns = np.array([[0.0], [1.0]]), np.array([0.0, 10.0])
    low, high = predicted_returns(known, returns, known)
    assert 0.0 < low < 5.0 < high < 10.0


def test_equal_returns_are_predicted_everywhere() -> None:
    known = np.random.default_rng(0).uniform(size=(100, 2))
    assert predicted_returns(known, np.full(100, 7.0), known) == pytest.approx(np.full(100, 7.0))


@pytest.mark.parametrize(("share", "count"), [(0.01, 2), (0.25, 25), (0.251, 26), (1.0, 100)])
def test_the_lowest_share_is_rounded_up(share: float, count: int) -> None:
    values = np.random.default_rng(0).uniform(size=(10, 10))
    chosen = lowest(values, share)
    assert chosen.sum() == count
    assert values[chosen].max() == np.sort(values, axis=None)[count - 1]


def filled(steps: int, worlds: int) -> Rollouts:
    """Rollouts whose observation is step + 100 * world."""
    box = spaces.Box(-np.inf, np.inf, (1,))
    options: Any = {"device": "cpu", "n_envs": worlds}
    buffer = Rollouts(steps, box, box, **options)
    for step in range(steps):
        seen = (step + 100.0 * np.arange(worlds))[:, None]
        none = np.zeros(worlds)
        buffer.add(seen, seen, none, none, torch.zeros(worlds), torch.zeros(worlds))
    return buffer


def test_the_selected_steps_fill_as_many_minibatches_as_all() -> None:
    buffer = filled(steps=6, worlds=4)
    assert [len(one.observations) for one in buffer.get(5)] == [5, 5, 5, 5, 4]
    selected = np.zeros((6, 4), dtype=bool)
    selected[[0, 1, 2, 3, 4, 5, 5, 0, 2, 3, 1], [0, 1, 2, 3, 0, 1, 3, 2, 1, 0, 3]] = True
    buffer.selected = selected
    for _ in range(2):  # as in two epochs
        batches = [one.observations[:, 0].tolist() for one in buffer.get(5)]
        assert sorted(map(len, batches)) == [2, 2, 2, 2, 3]
        found = sorted(value for batch in batches for value in batch)
        assert found == sorted(step + 100.0 * world for step, world in np.argwhere(selected))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worst_share": 0.0}, "worst_share: .* greater than 0, got 0.0"),
        ({"worst_share": 1.5}, "worst_share: .* at most 1, got 1.5"),
        ({"worst_share": float("nan")}, "worst_share: .* finite"),
        ({"worst_share_start": -0.1}, "worst_share_start: .* at least 0, got -0.1"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_recipe("ppo", options)


def test_other_algorithms_have_no_such_option() -> None:
    with pytest.raises(UserError, match="unknown sac option 'worst_share'"):
        parse_recipe("sac", {"worst_share": 0.5})
