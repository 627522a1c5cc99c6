"""CMA-ES finds optima that are known, in as many evaluations as the reference implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.transfer.evolution import Evolution, default_population

CMA_EVALUATIONS = 1192
"""Median of the package cma 4.5.0 without its active updates, seeds 1 to 9, to -1e-9 as below."""
WIDE = np.full(5, -10.0), np.full(5, 10.0)


def ellipsoid(points: Any) -> Any:
    """Largest, 0, at (1, ..., 1); the axes differ by a factor of 1,000 and are no coordinates."""
    size = points.shape[-1]
    turned = np.linalg.qr(np.random.default_rng(7).normal(size=(size, size)))[0]
    return -np.square((points - 1.0) @ turned * np.logspace(0, 1.5, size)).sum(axis=-1)


def evaluations_until(search: Evolution, value: float, seed: int) -> int:
    generator, used = np.random.default_rng(seed), 0
    while used < 20_000:
        points = search.ask(generator)
        returns = ellipsoid(points)
        search.tell(points, returns)
        used += len(points)
        if returns.max() > value:
            return used
    return used


def test_a_rotated_ellipsoid_is_solved_as_fast_as_by_the_package_cma() -> None:
    used = [evaluations_until(Evolution(np.zeros(5), 0.5, *WIDE), -1e-9, s) for s in range(5)]
    assert np.median(used) == pytest.approx(CMA_EVALUATIONS, rel=0.2)


def test_the_search_stays_in_the_box_and_finds_its_corner() -> None:
    low, high = np.full(3, -1.0), np.full(3, 0.5)
    search, generator = Evolution(np.zeros(3), 0.7, low, high), np.random.default_rng(0)
    for _ in range(60):
        points = search.ask(generator)
        assert (points >= low).all()
        assert (points <= high).all()
        search.tell(points, points.sum(axis=1))
    np.testing.assert_allclose(search.mean, 0.5, atol=0.02)


@pytest.mark.parametrize("size", [1, 2, 10])
def test_returns_that_say_nothing_move_the_mean_by_chance_only(size: int) -> None:
    ends, box = [], (np.full(size, -50.0), np.full(size, 50.0))
    for seed in range(60):
        search, generator = Evolution(np.zeros(size), 1.0, *box), np.random.default_rng(seed)
        for _ in range(4):
            points = search.ask(generator)
            search.tell(points, generator.normal(size=len(points)))
        ends.append(search.mean)
    assert search.population == default_population(size)
    error = np.std(ends) / np.sqrt(len(ends) * size)
    assert abs(np.mean(ends)) < 4 * error
