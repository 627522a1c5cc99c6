"""The shared arithmetic rounds as Gymnasium's scalars and vectors do, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest

from sim2real.envs._gymnasium import between, bonus, control_cost, norm, squared

BATCHES = [1, 2, 3, 64]


@pytest.mark.parametrize("n", BATCHES)
def test_squares_are_those_of_numpy_scalars(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(n, 2000))
    scalars = np.array([[value**2 for value in row] for row in values])
    np.testing.assert_array_equal(squared(values), scalars)


def test_squares_of_arrays_would_differ() -> None:
    """Why `squared` exists: were this to fail, `values**2` would do."""
    values = np.random.default_rng(0).normal(size=100_000)
    assert np.any(squared(values) != values**2)


def test_the_square_of_a_huge_number_is_infinite() -> None:
    assert squared(np.array([1e200, -1e200, np.nan]))[:2].tolist() == [np.inf, np.inf]


@pytest.mark.parametrize("n", BATCHES)
def test_norms_are_those_of_single_vectors(n: int) -> None:
    vectors = np.random.default_rng(n).normal(size=(n, 50, 3)).transpose(1, 0, 2)
    for batch in vectors:
        single = [np.linalg.norm(vector) for vector in batch]
        np.testing.assert_array_equal(norm(batch), single)


@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("actuators", [1, 2, 3, 6, 7, 8, 17])
@pytest.mark.parametrize("order", ["C", "F"])
def test_control_costs_are_those_of_single_actions(n: int, actuators: int, order: str) -> None:
    rng = np.random.default_rng(n)
    actions = rng.uniform(-1, 1, (n, actuators)).astype(np.float32)
    single = [0.1 * np.sum(np.square(action)) for action in actions]
    costs = control_cost(np.asarray(actions, order=order), 0.1)
    assert costs.dtype == single[0].dtype == np.float32
    np.testing.assert_array_equal(costs, single)


def test_control_costs_keep_double_precision() -> None:
    assert control_cost(np.full((1, 1), 0.1), 1.0).tolist() == [0.1 * 0.1]


def test_bounds_are_excluded_and_nan_is_outside() -> None:
    values = np.array([0.0, 0.5, 1.0, np.nan])
    assert between(values, 0.0, 1.0).tolist() == [False, True, False, False]


def test_a_bonus_is_all_or_nothing() -> None:
    assert bonus(np.array([True, False]), 5.0).tolist() == [5.0, 0.0]
