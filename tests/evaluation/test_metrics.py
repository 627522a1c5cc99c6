from __future__ import annotations

import math

import numpy as np
import pytest

from sim2real.evaluation import metrics


def test_score_is_zero_at_random_and_one_at_the_oracle() -> None:
    # random -100, oracle 300: a return of 200 is 300 of 400 above random
    np.testing.assert_array_equal(
        metrics.score([-100, 200, 300, 500], -100, 300), [0, 0.75, 1, 1.5]
    )


def test_score_of_the_mean_is_the_mean_of_the_scores() -> None:
    returns = np.array([12.0, -3.0, 40.0])
    assert metrics.score(returns.mean(), -5, 50) == pytest.approx(
        metrics.score(returns, -5, 50).mean()
    )


@pytest.mark.parametrize("oracle", [-100.0, -200.0, math.nan])
def test_score_refuses_an_oracle_that_is_not_above_random(oracle: float) -> None:
    with pytest.raises(ValueError, match="not above random, -100"):
        metrics.score(1.0, -100, oracle)


def test_gap_and_the_share_that_was_closed() -> None:
    # 0.9 at home, 0.3 abroad: a gap of 0.6; adapting to 0.75 closes 0.45 of it, 3/4
    assert metrics.zero_shot_gap(0.9, 0.3) == pytest.approx(0.6)
    assert metrics.gap_closed(0.9, 0.3, 0.75) == pytest.approx(0.75)
    assert metrics.gap_closed(0.9, 0.3, 0.9) == pytest.approx(1.0)
    assert metrics.gap_closed(0.9, 0.3, 0.2) == pytest.approx(-1 / 6)  # adaptation did harm


def test_gap_closed_is_nan_without_a_gap() -> None:
    np.testing.assert_array_equal(
        metrics.gap_closed([0.5, 0.5, 1.0], [0.5, 0.6, 0.5], [0.9, 0.9, 0.9]), [np.nan, np.nan, 0.8]
    )


def test_jump_start_and_negative_transfer() -> None:
    assert metrics.jump_start(0.4, 0.1) == pytest.approx(0.3)
    assert metrics.negative_transfer(0.4, 0.1) == 0
    assert metrics.negative_transfer(0.1, 0.4) == pytest.approx(0.3)


def test_time_to_threshold_is_linear_between_points() -> None:
    steps, scores = [0, 100, 300], [0.0, 0.5, 0.9]
    assert metrics.time_to_threshold(steps, scores, 0.25) == pytest.approx(50)
    assert metrics.time_to_threshold(steps, scores, 0.7) == pytest.approx(200)
    assert metrics.time_to_threshold(steps, scores, 0.5) == 100
    assert metrics.time_to_threshold(steps, scores, -1.0) == 0
    assert metrics.time_to_threshold(steps, scores, 0.95) == math.inf


def test_time_to_threshold_counts_the_first_crossing() -> None:
    assert metrics.time_to_threshold([0, 1, 2, 3], [0.0, 1.0, 0.0, 1.0], 0.5) == 0.5


def test_area_is_the_mean_over_the_budget() -> None:
    # trapezes: 100 steps at 0.25 on average, 200 at 0.75: (25 + 150) / 300
    assert metrics.area_under_curve([0, 100, 300], [0.0, 0.5, 1.0]) == pytest.approx(175 / 300)
    assert metrics.area_under_curve([0, 5], [0.4, 0.4]) == pytest.approx(0.4)
    assert metrics.area_under_curve([7], [0.4]) == 0.4


def test_area_and_asymptote_work_on_many_curves() -> None:
    curves = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(metrics.area_under_curve([0, 1, 2], curves), [0.75, 0.25])
    np.testing.assert_allclose(metrics.asymptote([0, 1, 2], curves), [1.0, 0.0])


def test_asymptote_is_the_mean_of_the_last_fifth() -> None:
    steps = np.arange(11)  # the last fifth: 8, 9, 10
    assert metrics.asymptote(steps, steps.astype(float)) == pytest.approx(9.0)
    assert metrics.asymptote([0, 10], [0.0, 1.0]) == 1.0


@pytest.mark.parametrize(
    ("steps", "scores", "match"),
    [([0, 1], [0.0], "not one curve"), ([], [], "not one curve"), ([0, 0], [1, 2], "increase")],
)
def test_what_is_no_curve_is_refused(steps: list[int], scores: list[float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        metrics.area_under_curve(steps, scores)
