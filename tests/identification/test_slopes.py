"""Slopes of functions that are known, with edges, and at the boundary of the unit cube."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sim2real.identification.fit import _weights, reduce
from sim2real.identification.problem import Fit
from sim2real.identification.slopes import (
    Slopes,
    StateSlopes,
    _placed,
    principal_directions,
    share_slopes,
    state_slopes,
    usual_directions,
)
from sim2real.task import Array

WINDOWS, ROWS = 40, 6


def problem_of(function: Callable[[Array], Array], unknowns: int) -> Any:
    """Residuals (ROWS, 1) of each window as a function of the shares (m, d); no states."""
    family = SimpleNamespace(is_delay=np.zeros(unknowns, dtype=bool))
    return SimpleNamespace(
        replay=SimpleNamespace(family=family),
        windows=range(WINDOWS),
        share_steps=np.full(unknowns, 0.003),
        in_steps=False,
        residuals=lambda shares, choice, _: function(shares)[np.arange(len(choice)), choice],
    )


def fit_of(problem: Any, shares: Array, directions: Array | None = None) -> Fit:
    count = np.arange(WINDOWS)
    residuals = problem.residuals(np.tile(shares, (WINDOWS, 1)), count, None)
    offsets = np.zeros((WINDOWS, 0))
    return Fit(shares, offsets, residuals, np.ones((ROWS, 1)), 0.0, directions)


def curved(shares: Array) -> Array:
    """r = x^2 + 3 y in every row of every window, (m, WINDOWS, ROWS, 1)."""
    value = shares[:, 0] ** 2 + 3.0 * shares[:, 1]
    return np.tile(value[:, None, None, None], (1, WINDOWS, ROWS, 1))


@pytest.mark.parametrize("x", [0.0, 0.001, 0.4, 1.0])
@pytest.mark.parametrize("y", [0.0, 0.7, 1.0])
def test_slopes_of_a_parabola_are_exact(x: float, y: float) -> None:
    problem = problem_of(curved, 2)
    shares = np.array([x, y])
    turned = 0.01 * np.array([[1.0, 1.0], [1.0, -1.0]])
    for directions in (usual_directions(problem), turned):
        found = share_slopes(problem, fit_of(problem, shares, directions))
        assert np.abs(found.by_share - [2.0 * x, 3.0]).max() < 1e-9
    assert found.bend == pytest.approx(2 * 1e-4**2)  # c of r = a + b t + c t^2, along both


@pytest.mark.parametrize("unknowns", [2, 3, 5, 8])
def test_differences_lie_apart_within_the_unit_cube(unknowns: int) -> None:
    """Whatever the axes, with parts as small as rounding errors, and however many bounds hold."""
    rng = np.random.default_rng(unknowns)
    for _ in range(100):
        places = rng.choice([0.0, 1.0, 0.5, 1e-9, 1.0 - 1e-16], unknowns)
        axes = np.linalg.qr(rng.standard_normal((unknowns, unknowns)))[0]
        axes = np.where(rng.random(axes.shape) < 0.3, 1e-17 * axes, axes)
        given = axes * (rng.uniform(1e-4, 0.02, unknowns) / np.abs(axes).max(axis=0))
        found, apart = _placed(places, given)
        points = places + apart[..., None] * found.T
        assert points.min() > -1e-12
        assert points.max() < 1.0 + 1e-12
        assert np.abs(apart).min() > 0.1
        assert np.abs(apart[1] - apart[0]).min() > 0.1
        assert (found[np.abs(given).argmax(axis=0), np.arange(unknowns)] != 0.0).all()


def edges(shares: Array) -> Array:
    """Depends on x - 2 y alone, with an edge in each window close to 0, (m, WINDOWS, ROWS, 1)."""
    places = np.random.default_rng(0).uniform(-0.003, 0.003, (WINDOWS, ROWS))
    heights = np.random.default_rng(1).standard_normal((WINDOWS, ROWS))
    apart = (shares[:, 0] - 2.0 * shares[:, 1])[:, None, None]
    return (100.0 * apart + 0.05 * heights * (apart > places))[..., None]


def information(slopes: Slopes) -> Array:
    rows = (slopes.by_share / np.sqrt(1.0 + slopes.bend)[..., None]).reshape(-1, 2)
    return rows.T @ rows + 1e-3 * np.eye(2)


@pytest.mark.parametrize("shares", [[0.5, 0.25], [0.0, 0.0], [1.0, 0.5]])
def test_a_direction_that_is_not_determined_is_found_despite_edges(shares: list[float]) -> None:
    problem, together = problem_of(edges, 2), np.array([2.0, 1.0]) / np.sqrt(5.0)
    at, directions = np.array(shares), usual_directions(problem)
    known = []
    for _ in range(6):
        found = information(share_slopes(problem, fit_of(problem, at, directions)))
        known.append(together @ found @ together)
        directions = principal_directions(problem, found, at)
    assert known[0] > 300.0  # of differences along the coordinates; nothing is known
    assert known[-1] < 0.01 * known[0]


def test_delays_have_a_direction_of_their_own() -> None:
    problem = problem_of(curved, 3)
    problem.replay.family.is_delay[1] = True
    problem.share_steps[1] = 0.25
    known = np.array([[9e4, 5.0, 1.0], [5.0, 1.0, 0.0], [1, 0, 1.0]])
    found = principal_directions(problem, known, np.full(3, 0.5))
    assert found[:, 1].tolist() == [0.0, 0.25, 0.0]
    assert (found[1, [0, 2]] == 0.0).all()
    lengths = np.linalg.norm(found, axis=0)
    assert lengths[[0, 2]] == pytest.approx([0.1, 1 / 300], rel=0.03)


@pytest.mark.parametrize("at", [0.0, 1.0])
def test_an_unknown_at_a_bound_has_a_direction_of_its_own(at: float) -> None:
    """But not where the log shows it together with others only."""
    problem, shares = problem_of(curved, 3), np.array([at, 0.5, 0.5])
    alone = np.array([[9e4, 300.0, 90.0], [300.0, 5e3, 70.0], [90.0, 70.0, 40.0]])
    found = principal_directions(problem, alone, shares)
    assert (found[0, 1:] == 0.0).all()
    assert (found[1:, 0] == 0.0).all()
    assert (found[1:, 1:] != 0.0).all()
    apart = np.array([1.0, -2.0, 0.0]) / np.sqrt(5.0)
    together = 1e5 * np.outer(apart, apart) + np.diag([1.0, 1.0, 1e4])
    assert (principal_directions(problem, together, shares)[0, :] != 0.0).sum() > 1


def rounded(shares: Array) -> Array:
    """Readings of x - 2 y, each with a gain and an offset of its own, in steps of 0.05."""
    rng = np.random.default_rng(0)
    gains, offsets = rng.uniform(1.0, 3.0, (WINDOWS, ROWS)), rng.uniform(0.0, 9.0, (WINDOWS, ROWS))
    exact = gains * (shares[:, 0] - 2.0 * shares[:, 1])[:, None, None] + offsets
    return 0.05 * np.rint(exact / 0.05)[..., None]


@pytest.mark.parametrize("shares", [[0.5, 0.25], [0.0, 0.0], [1.0, 0.5]])
def test_the_steps_of_a_sensor_are_no_information(shares: list[float]) -> None:
    problem = problem_of(rounded, 2)
    problem.in_steps, problem.share_steps = True, np.full(2, 0.05)
    fit = fit_of(problem, np.array(shares))
    slopes = share_slopes(problem, fit)
    weights = _weights(fit, slopes.bend)
    rows = (np.sqrt(weights)[..., None] * slopes.by_share).reshape(-1, 2)
    seeming = rows.T @ rows
    found = reduce(fit, slopes, StateSlopes(*np.zeros((2, WINDOWS, ROWS, 1, 0)))).total
    together = np.array([2.0, 1.0]) / np.sqrt(5.0)  # nothing depends on it
    determined = np.array([1.0, -2.0]) / np.sqrt(5.0)
    gains = np.random.default_rng(0).uniform(1.0, 3.0, (WINDOWS, ROWS, 1))
    exact = np.sum(weights * 5.0 * gains**2)
    assert together @ seeming @ together > 0.001 * exact
    assert abs(together @ found @ together) < 0.2 * (together @ seeming @ together)
    assert determined @ found @ determined == pytest.approx(exact, rel=0.1)


def encoder(windows: int) -> tuple[Any, Array]:
    """Positions that an encoder counts in units of 1, and residuals by their offsets."""
    rng = np.random.default_rng(0)
    positions = rng.uniform(0.0, 100.0, windows)

    def residuals(_: Array, choice: Array, offsets: Array) -> Array:
        shown = np.rint(positions[choice] + offsets[:, 0])
        return (positions[choice] - shown)[:, None, None]

    namespace = SimpleNamespace(residuals=residuals, in_steps=True, state_steps=np.array([3.3]))
    offsets = np.zeros((windows, 1))
    here = residuals(np.zeros((windows, 0)), np.arange(windows), offsets)
    return namespace, Fit(np.zeros(0), offsets, here, np.ones((1, 1)), 0.0, None)


def test_slopes_by_the_states_do_not_follow_the_rounding_of_the_residuals() -> None:
    problem, fit = encoder(20_000)
    slopes = state_slopes(problem, fit).by_state[..., 0]
    assert slopes.mean() == pytest.approx(-1.0, abs=0.01)
    rounding = float(np.mean(slopes * fit.residuals))
    one_sided = (1.0 / 12.0) / 3.3  # covariance of a rounding error and a slope that begins there
    assert abs(rounding) < 0.1 * one_sided


def test_the_error_of_slopes_by_the_states_is_told() -> None:
    problem, fit = encoder(20_000)
    told, spread = [], []
    for step in np.linspace(3.0, 4.0, 11):
        problem.state_steps = np.array([step])
        slopes = state_slopes(problem, fit)
        told.append(np.mean(slopes.error))
        spread.append(np.var(slopes.by_state))
    assert np.mean(told) == pytest.approx(np.mean(spread), rel=0.1)
    problem.in_steps = False
    assert (state_slopes(problem, fit).error == 0.0).all()
