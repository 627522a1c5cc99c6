from __future__ import annotations

import math

import numpy as np
import pytest

from sim2real.evaluation import metrics
from sim2real.evaluation.statistics import Estimate


def exact(value: float) -> Estimate:
    """An estimate without uncertainty."""
    return Estimate(value)


@pytest.mark.parametrize(("returned", "score"), [(-100, 0), (200, 0.75), (300, 1), (500, 1.5)])
def test_score_is_zero_at_random_and_one_at_the_oracle(returned: float, score: float) -> None:
    # random -100, oracle 300: a return of 200 is 300 of 400 above random
    assert metrics.score(exact(returned), exact(-100), exact(300)).value == score


@pytest.mark.parametrize("oracle", [-100.0, -200.0, math.nan])
def test_score_refuses_an_oracle_that_is_not_above_random(oracle: float) -> None:
    with pytest.raises(ValueError, match="not above random, -100"):
        metrics.score(exact(1), exact(-100), exact(oracle))


def test_gap_and_the_share_that_was_closed() -> None:
    # 0.9 at home, 0.3 abroad: a gap of 0.6; adapting to 0.75 closes 0.45 of it, 3/4
    home, before = exact(0.9), exact(0.3)
    assert metrics.zero_shot_gap(home, before).value == pytest.approx(0.6)
    assert metrics.gap_closed(home, before, exact(0.75)).value == pytest.approx(0.75)
    assert metrics.gap_closed(home, before, exact(0.9)).value == pytest.approx(1.0)
    harmed = metrics.gap_closed(home, before, exact(0.2))
    assert harmed.value == pytest.approx(-1 / 6)


def test_gap_closed_is_nan_without_a_gap() -> None:
    for before in (0.5, 0.6):
        closed = metrics.gap_closed(exact(0.5), exact(before), exact(0.9))
        assert math.isnan(closed.value)
        assert closed.why == "no gap"


def test_jump_start() -> None:
    assert metrics.jump_start(exact(0.4), exact(0.1)).value == pytest.approx(0.3)


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
