"""The arithmetic of the local stage against dense and published solvers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from sim2real.identification.fit import FREEDOM, STATE_PRECISION, _weights, reduce
from sim2real.identification.problem import Fit
from sim2real.identification.slopes import Slopes, StateSlopes
from sim2real.identification.steps import damped, straight


def arrow(seed: int = 0) -> tuple[Fit, np.ndarray, np.ndarray]:
    """Residuals of 5 windows, 4 rows, 3 channels; 2 shares and 2 states."""
    rng = np.random.default_rng(seed)
    fit = Fit(
        shares=np.array([0.4, 0.6]),
        offsets=0.1 * rng.standard_normal((5, 2)),
        residuals=rng.standard_normal((5, 4, 3)),
        noise=np.tile([0.5, 1.0, 2.0], (4, 1)),
        cost=0.0,
    )
    return fit, rng.standard_normal((5, 4, 3, 2)), rng.standard_normal((5, 4, 3, 2))


def test_reduced_equations_solve_the_dense_problem() -> None:
    fit, by_share, by_state = arrow()
    slopes = Slopes(by_share, np.zeros((5, 4, 3)), np.zeros((5, 4, 3, 2)), np.eye(2))
    equations = reduce(fit, slopes, StateSlopes(by_state, np.zeros_like(by_state)))
    root = np.sqrt(_weights(fit, np.zeros(1))).reshape(5, 12, 1)
    rows, right = [], []
    for w in range(5):
        block = np.zeros((12, 2 + 10))
        block[:, :2] = by_share[w].reshape(12, 2)
        block[:, 2 + 2 * w : 4 + 2 * w] = by_state[w].reshape(12, 2)
        rows.append(root[w] * block)
        right.append(-root[w, :, 0] * fit.residuals[w].ravel())
    prior = np.sqrt(STATE_PRECISION) * np.eye(12)[2:]
    dense = np.vstack([*rows, prior])
    target = np.concatenate([*right, -np.sqrt(STATE_PRECISION) * fit.offsets.ravel()])
    expected = np.linalg.lstsq(dense, target, rcond=None)[0]
    change = np.linalg.solve(equations.information.sum(0), equations.gradient.sum(0))
    assert change == pytest.approx(expected[:2])
    states = equations.correction - equations.back @ change
    assert states.ravel() == pytest.approx(expected[2:])
    covariance = np.linalg.inv(dense.T @ dense)[:2, :2]
    assert np.linalg.inv(equations.information.sum(0)) == pytest.approx(covariance)


def test_errors_of_state_slopes_are_no_information_of_an_unknown() -> None:
    """An unknown and a state do the same, but for rounding: nothing tells them apart."""
    rng = np.random.default_rng(0)
    windows, shape = 400, (400, 12, 1, 1)
    moved = np.full(shape, 10.0)
    errors = 2.0 * rng.standard_normal(shape)
    fit = Fit(
        np.zeros(1), np.zeros((windows, 1)), np.zeros(shape[:3]), np.ones((12, 1)), 0.0, np.eye(1)
    )
    slopes = Slopes(moved, np.zeros(shape[:3]), np.zeros(shape), np.eye(1))
    variance = np.full(shape, 4.0)
    found = reduce(fit, slopes, StateSlopes(moved + errors, variance)).total[0, 0]
    seeming = reduce(fit, slopes, StateSlopes(moved + errors, 0.0 * variance)).total[0, 0]
    exact = reduce(fit, slopes, StateSlopes(moved, 0.0 * variance)).total[0, 0]
    assert seeming > 30 * exact
    assert found < 0.2 * seeming


def test_outliers_weigh_little() -> None:
    fit, _, _ = arrow()
    far = Fit(fit.shares, fit.offsets, 100.0 * np.ones((1, 4, 3)), fit.noise, 0.0)
    assert (_weights(far, np.zeros(1)) < 1.1 * (FREEDOM + 1) / 100.0**2).all()


@pytest.mark.parametrize("seed", range(20))
def test_a_step_stays_in_the_cube_and_is_the_best_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slopes, right = rng.standard_normal((8, 3)), 2.0 * rng.standard_normal(8)
    shares = rng.uniform(0.1, 0.9, 3)
    found = damped(shares, slopes.T @ slopes, slopes.T @ right, 0.0, np.ones(3, dtype=bool))
    exact = lsq_linear(slopes, right, (-shares, 1.0 - shares)).x
    assert ((found >= 0) & (found <= 1)).all()
    cost = lambda change: np.sum((slopes @ change - right) ** 2)  # noqa: E731
    assert cost(found - shares) <= 1.25 * cost(exact) + 1e-9
    if ((exact > 1e-6 - shares) & (exact < 1 - 1e-6 - shares)).all():
        assert found - shares == pytest.approx(exact, abs=1e-6)


def test_what_is_not_straight_weighs_little() -> None:
    fit, _, _ = arrow()
    bend = np.zeros((5, 4, 3))
    bend[0] = 100.0**2
    weights = _weights(fit, bend)
    assert (weights[0] < 1.3 / 100.0**2).all()
    assert (weights[1:] == _weights(fit, np.zeros(1))[1:]).all()


def test_a_straight_step_keeps_its_direction() -> None:
    together = np.array([1.0, 1.0]) / np.sqrt(2.0)
    apart = np.array([1.0, -1.0]) / np.sqrt(2.0)
    information = 1e6 * np.outer(apart, apart) + np.outer(together, together)
    shares, free = np.array([0.8, 0.3]), np.ones(2, dtype=bool)
    found = straight(shares, information, 5.0 * together, free)
    assert found == pytest.approx([0.2, 0.2])  # 5 / sqrt(2) each, were there room
    assert straight(shares, information, 0.1 * together, free) == pytest.approx(0.1 * together)
    blocked = straight(np.array([1.0, 0.3]), information, together, free)
    assert blocked[0] == 0.0
    assert blocked[1] == pytest.approx(together[1] / information[1, 1])
