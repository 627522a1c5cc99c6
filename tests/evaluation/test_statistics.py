from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sim2real.evaluation.statistics import (
    Interval,
    bootstrap,
    iqm,
    paired_difference,
    stratified_bootstrap,
)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 20, 101])
def test_iqm_is_the_trimmed_mean_of_scipy(count: int) -> None:
    values = np.random.default_rng(count).standard_cauchy(count)
    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25), rel=1e-12)


def test_iqm_along_an_axis() -> None:
    values = np.random.default_rng(0).standard_normal((6, 9))
    np.testing.assert_allclose(iqm(values, axis=0), stats.trim_mean(values, 0.25, axis=0))
    np.testing.assert_allclose(iqm(values, axis=1), stats.trim_mean(values, 0.25, axis=1))
    np.testing.assert_allclose(iqm(values), stats.trim_mean(values, 0.25, axis=None))


def test_iqm_leaves_outliers_out() -> None:
    assert iqm(np.array([-1e9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e9])) == pytest.approx(3.5)


def test_iqm_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        iqm(np.array([]))


def test_the_same_generator_state_gives_the_same_interval() -> None:
    sample = np.random.default_rng(3).standard_normal((5, 10))
    first, second = (
        stratified_bootstrap([sample], np.random.default_rng(1), resamples=200) for _ in range(2)
    )
    assert first == second
    assert first.low < first.value < first.high


def test_identical_runs_have_an_interval_of_no_width() -> None:
    interval = stratified_bootstrap([np.ones((4, 3)), np.ones((4, 3))], np.random.default_rng(0))
    assert interval == Interval(1.0, 1.0, 1.0, "seeds")


def test_strata_are_resampled_on_their_own() -> None:
    """Two targets without spread of their own: only between them scores differ, so no width."""
    easy, hard = np.full((4, 2), 0.9), np.full((4, 2), 0.1)
    interval = stratified_bootstrap([easy, hard], np.random.default_rng(0))
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.5, 0.5, 0.5))


def test_one_seed_takes_its_interval_from_episodes_and_says_so() -> None:
    episodes = np.random.default_rng(0).standard_normal((1, 400))
    interval = stratified_bootstrap([episodes], np.random.default_rng(1))
    assert interval.resampled == "episodes"
    # the standard error of a mean of 400 standard normals is 1 / 20
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    difference = paired_difference(episodes, np.zeros_like(episodes), np.random.default_rng(1))
    assert difference.resampled == "episodes"


def test_paired_difference_sees_what_an_unpaired_one_does_not() -> None:
    rng = np.random.default_rng(0)
    worlds = 10 * rng.standard_normal((5, 20))  # hard and easy worlds, common to both methods
    first, second = worlds + 0.5 + 0.1 * rng.standard_normal((5, 20)), worlds
    interval = paired_difference(first, second, rng)
    assert interval.resampled == "seeds and episodes"
    assert interval.excludes_zero
    assert interval.value == pytest.approx((first - second).mean())
    assert interval.low < 0.5 < interval.high


def test_two_levels_are_wider_than_episodes_alone_when_seeds_differ() -> None:
    rng = np.random.default_rng(0)
    seeds = np.array([[-1.0], [0.0], [1.0], [2.0]])
    sample = seeds + 0.01 * rng.standard_normal((4, 50))
    pooled = sample.reshape(1, -1)
    two, one = (paired_difference(s, 0 * s, np.random.default_rng(0)) for s in (sample, pooled))
    assert two.high - two.low > 3 * (one.high - one.low)


def test_unpaired_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="not paired"):
        paired_difference(np.ones((2, 3)), np.ones((3, 3)), np.random.default_rng(0))
    with pytest.raises(ValueError, match="same seeds"):
        bootstrap(np.mean, [np.ones((2, 3)), np.ones((3, 3))], np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"\(seeds, episodes\)"):
        stratified_bootstrap([np.ones(3)], np.random.default_rng(0))
    with pytest.raises(ValueError, match="no strata"):
        stratified_bootstrap([], np.random.default_rng(0))


def test_a_statistic_that_is_not_always_defined_has_no_interval() -> None:
    sample = np.array([[1.0], [-1.0]])
    interval = bootstrap(
        lambda x: np.where(x.mean() >= 0, x.mean(), np.nan), [sample], np.random.default_rng(0)
    )
    assert interval.value == 0
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)
    assert not interval.excludes_zero


def test_coverage_of_the_stratified_bootstrap() -> None:
    """Of 200 studies of 3 targets and 10 seeds, about 95 % of the intervals hold the truth.

    Normal runs: the interquartile mean of all three targets is their common mean, 0. A percentile
    interval of 10 runs a stratum is a little too narrow; 90 % at least must hold.
    """
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        strata = [rng.standard_normal((10, 1)) for _ in range(3)]
        interval = stratified_bootstrap(strata, rng, resamples=400)
        hits += interval.low <= 0 <= interval.high
    assert 0.90 <= hits / 200 <= 0.99


def test_coverage_of_the_paired_difference() -> None:
    """The truth is 1; seeds differ with deviation 0.5, episodes within a seed with 1."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(150):
        worlds = rng.standard_normal((10, 20))
        effect = 1 + 0.5 * rng.standard_normal((10, 1)) + rng.standard_normal((10, 20))
        interval = paired_difference(worlds + effect, worlds, rng, resamples=300)
        hits += interval.low <= 1 <= interval.high
    assert 0.90 <= hits / 150 <= 1.0
