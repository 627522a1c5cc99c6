"""Intervals, comparisons and rates against scipy and closed forms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import sim2real as s2r
from sim2real.errors import UserError
from sim2real.evaluation.bounds import Spread, bounds, p_value, spread
from sim2real.evaluation.statistics import (
    Comparison,
    Estimate,
    Interval,
    compare,
    holm,
    interval,
    mean_of,
    of_seeds,
    of_units,
    rate,
    share,
)

SYMMETRIC = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
"""Seeds without skewness: their interval is Student's t alone, up to g/6."""


def normal(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(shape)


def test_an_interval_of_symmetric_seeds_is_students() -> None:
    found = interval(np.repeat(SYMMETRIC, 4, axis=1))
    low, high = stats.t.interval(0.95, 4, 3.0, stats.sem(SYMMETRIC[:, 0]))
    assert (found.value, found.low, found.high) == pytest.approx((3.0, low, high))
    assert (found.seeds, found.values, found.about) == (5, (1, 2, 3, 4, 5), "seeds")


def test_the_level_is_that_asked_for() -> None:
    found = interval(SYMMETRIC, level=0.8)
    expected = stats.t.interval(0.8, 4, 3.0, stats.sem(SYMMETRIC[:, 0]))
    assert (found.low, found.high) == pytest.approx(expected)


def test_skewed_seeds_widen_the_interval_on_their_side() -> None:
    found = interval(np.array([[0.0], [0.1], [0.2], [0.3], [5.0]]))
    low, high = stats.t.interval(0.95, 4, found.value, stats.sem(found.values))
    assert found.low == pytest.approx(low)
    assert high < found.high <= found.value + 2 * (high - found.value) + 1e-9


def test_halls_correction_solves_his_cubic() -> None:
    """t + g t²/3 + g² t³/27 + g/6 at the bound is the quantile of t."""
    about = Spread(np.float64(1.0), np.float64(20.0), np.float64(0.2))  # type: ignore[arg-type]
    _, high = bounds(0.0, about)
    t, g = -float(high), 0.2
    cubic = t + g * t**2 / 3 + g**2 * t**3 / 27 + g / 6
    assert cubic == pytest.approx(stats.t.ppf(0.025, 20))


def test_skewness_is_that_of_scipy() -> None:
    units = np.random.default_rng(0).exponential(size=8)
    found = spread([units])
    assert found.error == pytest.approx(stats.sem(units))
    assert found.freedom == 7
    assert found.skewness == pytest.approx(stats.skew(units, bias=False) / math.sqrt(8))


@pytest.mark.parametrize("seed", range(20))
def test_p_is_below_5_percent_where_the_interval_excludes_zero(seed: int) -> None:
    """At the level at which the interval just touches 0, p is 1 - level."""
    units = np.random.default_rng(seed).exponential(size=4) + 0.5
    p = float(p_value(units.mean(), spread([units])))
    low, _ = bounds(units.mean(), spread([units]), 1 - p)
    assert low == pytest.approx(0, abs=1e-6)
    assert p >= stats.ttest_1samp(units, 0).pvalue - 1e-12


def test_the_same_seeds_cancel_what_they_share() -> None:
    worlds = 10 * normal(5, 20)
    first = worlds + 0.5 + 0.1 * normal(5, 20, seed=1)
    assert compare(first, worlds).verdict == "better"
    assert compare(worlds, first).verdict == "worse"
    assert compare(first, worlds, paired=False).verdict == "undecided"


def test_an_unpaired_comparison_is_welchs() -> None:
    """Groups without skewness, of other sizes and variances."""
    first, second = np.arange(5.0)[:, None] * 3, np.arange(4.0)[:, None]
    found = compare(first, second, paired=False)
    welch = stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    expected = welch.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.seeds == 5


def test_a_method_against_itself_is_undecided() -> None:
    found = compare(normal(5, 3), normal(5, 3))
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert found.verdict == "undecided"


def test_two_seeds_have_no_interval_and_say_what_is_needed() -> None:
    found = compare(normal(2, 50) + 100, normal(2, 50))
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.why == "2 seeds, an interval needs 3"
    assert found.verdict == "too few seeds"
    assert len(found.values) == 2


def test_one_seed_speaks_of_its_policy_alone() -> None:
    episodes = normal(1, 400)
    found = interval(episodes)
    assert (found.about, found.seeds, found.values) == ("this policy", 1, (found.value,))
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    difference = compare(episodes + 9, episodes, paired=False)
    assert difference.low > 8
    assert difference.verdict == "too few seeds"
    assert compare(normal(4, 9), normal(1, 9), paired=False).verdict == "too few seeds"


def test_holm_multiplies_the_smallest_p_most() -> None:
    found = holm([with_p(p) for p in (0.04, 0.01, 0.03, math.nan)])
    assert [one.p_corrected for one in found[:3]] == pytest.approx([0.06, 0.03, 0.06])
    assert [one.comparisons for one in found] == [3, 3, 3, 1]
    assert [one.verdict for one in found] == ["undecided", "better", "undecided", "too few seeds"]
    assert holm([]) == ()


def with_p(p: float) -> Comparison:
    return Comparison(1.0, 0.5, 1.5, 5, p=p, p_corrected=p)


def test_a_score_has_the_uncertainty_of_its_references() -> None:
    """(J - r) / (o - r) by the delta method, written out."""
    returns, random, oracle = 50 + normal(5), 1 + normal(9, seed=1), 100 + 9 * normal(4, seed=2)
    j, r, o = (of_units(n, x) for n, x in (("j", returns), ("r", random), ("o", oracle)))
    score = (j - r) / (o - r)
    width = oracle.mean() - random.mean()
    s = (returns.mean() - random.mean()) / width
    variance = (
        stats.sem(returns) ** 2
        + (1 - s) ** 2 * stats.sem(random) ** 2
        + s**2 * stats.sem(oracle) ** 2
    ) / width**2
    assert score.value == pytest.approx(s)
    assert spread(list(score.parts.values())).error == pytest.approx(math.sqrt(variance))
    dots = score.interval()
    assert dots.values == pytest.approx((returns - random.mean()) / width)


def test_what_comes_of_the_same_seeds_is_paired() -> None:
    before, after = normal(4) + 5, normal(4, seed=1) + 9
    estimate = of_units("seeds", after) - of_units("seeds", before)
    found, expected = estimate.comparison(), compare(after[:, None], before[:, None])
    assert found == dataclasses.replace(expected, value=found.value, values=found.values)
    assert found.values == pytest.approx(expected.values)
    assert (of_units("s", before) / of_units("s", before)).interval().high == 1.0
    assert mean_of([of_units("s", before), of_units("s", after)]).value == pytest.approx(
        (before.mean() + after.mean()) / 2
    )


def test_groups_of_one_name_have_the_same_units() -> None:
    with pytest.raises(ValueError, match="seeds: 4 units against 5"):
        of_units("seeds", normal(4)) - of_units("seeds", normal(5))


def test_a_product_and_a_constant() -> None:
    estimate = (of_units("s", normal(4) + 3) - 1) * 2 + 5
    assert estimate.interval().values == pytest.approx((normal(4) + 3 - 1) * 2 + 5)
    squared = of_units("s", np.array([1.0, 2.0, 3.0])) * of_units("s", np.array([1.0, 2.0, 3.0]))
    assert squared.parts["s"] == pytest.approx([-4, 0, 4])  # d(x²) = 2 x dx


def test_a_share_of_what_may_be_nothing_has_no_value() -> None:
    part = of_units("s", [1.0, 2.0, 3.0])
    sure, doubtful, nothing = (
        share(part, of_units("s", whole))
        for whole in ([10.0, 10.1, 10.2], [-1.0, 0.5, 3.0], [-1.0, -2.0, 1.0])
    )
    assert sure.low < sure.value < sure.high
    assert math.isnan(doubtful.value)
    assert math.isnan(doubtful.low)
    assert doubtful.why.startswith("the gap may be 0: -")
    assert math.isnan(nothing.value)
    assert nothing.why == "no gap"


def test_the_rate_of_one_policy_is_exact_binomial() -> None:
    found = rate([17], 20)
    exact = stats.binomtest(17, 20).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert found.about == "this policy"


def test_the_rate_of_seeds_is_the_exact_binomial_of_fewer_episodes() -> None:
    """All of 3 x 20 succeed: as 60 (1.96 / 4.30)² episodes; then low is (0.025)^(1/n)."""
    few = 60 * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 2)) ** 2
    assert rate([20, 20, 20], 20).low == pytest.approx(0.025 ** (1 / few))
    assert rate([20, 20, 20], 20).high == 1.0
    assert rate([0, 0, 0], 20).high == pytest.approx(1 - 0.025 ** (1 / few))
    # seeds that are all or nothing are as good as one episode each
    spread_out = rate([20, 0, 20, 0, 20], 20)
    seeds_alone = rate([1, 0, 1, 0, 1], 1)
    assert (spread_out.low, spread_out.high) == pytest.approx((seeds_alone.low, seeds_alone.high))


def test_the_rate_of_two_seeds_has_no_interval() -> None:
    found = rate([3, 4], 5)
    assert found.value == pytest.approx(0.7)
    assert math.isnan(found.low)
    assert found.why == "2 seeds, an interval needs 3"


def test_an_interval_as_json_and_back() -> None:
    for found in (interval(normal(3, 4)), interval(normal(2, 4))):
        assert Interval.read(found.plain()).plain() == found.plain()
    assert interval(normal(2, 4)).plain()["low"] is None
    assert compare(normal(3, 4), normal(3, 4)).plain()["verdict"] == "undecided"


def test_references_of_too_few_units_are_named() -> None:
    estimate = of_seeds("seeds", normal(5, 2)) - of_units("oracle/far", [1.0, 2.0])
    assert estimate.interval().why == "oracle/far has 2 seeds, an interval needs 3"
    assert Estimate(3.0).value == 3.0


@pytest.mark.parametrize(
    ("returns", "problem"),
    [
        ([1.0, 2.0, 3.0], r"\(seeds, episodes\), got the shape \(3,\)"),
        (np.ones((2, 0)), r"got the shape \(2, 0\)"),
        ([[1.0], [2.0, 3.0]], "must be numbers in an array"),
        ([["a"]], "must be numbers"),
        ([["1.5"], ["2"], ["3"]], "must be numbers"),
        ([[1 + 2j], [2], [3]], "must be numbers"),
        ([[1.0, math.nan]], r"finite, got nan at \[0, 1\]"),
        ([[1e308], [-1e308], [0.0]], r"within \+-1e\+70, got one of 1e\+308"),
    ],
)
def test_other_arrays_are_refused(returns: object, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        s2r.interval(returns)
    with pytest.raises(UserError, match=problem):
        s2r.compare(returns, returns)


def test_the_largest_returns_have_an_interval() -> None:
    """The degrees of freedom take their fourth power."""
    assert s2r.compare([[1e70], [2.0], [4.0]], normal(4, 4), paired=False).verdict == "undecided"


def test_what_is_not_paired_is_refused() -> None:
    for first, second in ((normal(3, 4), normal(4, 4)), (normal(1, 4), normal(1, 5))):
        with pytest.raises(UserError, match="not paired by seed; give paired=False"):
            s2r.compare(first, second)
    assert s2r.compare(normal(3, 4), normal(3, 9)).seeds == 3
    for level in (0.0, 1.0, 95):
        with pytest.raises(UserError, match="between 0 and 1"):
            s2r.interval(normal(3, 4), level=level)


@pytest.mark.parametrize("level", ["a", None, [0.9], True, 1.0])
def test_levels_that_are_refused(level: object) -> None:
    with pytest.raises(UserError, match="level must be a number between 0 and 1"):
        interval([[1.0, 2.0]] * 3, level=level)  # type: ignore[arg-type]


def test_a_level_of_numpy() -> None:
    assert interval([[1.0, 2.0]] * 3, level=np.float32(0.9)).level == np.float32(0.9)


def test_numbers_beyond_floats_are_refused() -> None:
    with pytest.raises(UserError, match="returns must be numbers"):
        interval([[10**400]])
