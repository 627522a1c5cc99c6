from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from measured import around, flat, references, trained

from sim2real.evaluation.statistics import of_seeds
from sim2real.studies.oracle import Curve, DomainReferences, Trained, far_above, far_below


@pytest.mark.parametrize(
    ("late", "shape"),
    [
        ([80, 80, 80, 80], "flat"),
        ([80, 80, 83, 83], "flat"),  # 3 of 83 that were learned
        ([60, 60, 80, 80], "rising"),
        ([80, 80, 60, 60], "falling"),
    ],
)
def test_a_curve_is_flat_where_its_last_fifth_is_as_the_one_before(
    late: list[float], shape: str
) -> None:
    returns = np.array([[0, 10, 20, 30, 40, 50, 60, *late]], dtype=float)
    assert Curve(tuple(range(0, 1100, 100)), returns).shape(random=0.0) == shape


def test_too_few_points_tell_nothing() -> None:
    assert Curve((0, 500, 1000), np.array([[0.0, 50.0, 100.0]])).shape(0.0) == "unknown"


def test_the_way_is_chosen_by_other_episodes_than_those_that_are_reported() -> None:
    """The lucky episodes of the worse way do not choose it."""
    lucky = Trained(around(300.0, seeds=3), flat(100.0))
    better = Trained(around(200.0, seeds=3), flat(200.0))
    found = references(20, 200, "x", oracles={"scratch": lucky, "source": better})
    assert found.way == "source"
    assert found.scale.oracle.value == pytest.approx(200, abs=1)


def test_the_best_policy_of_each_seed_counts_and_not_the_last() -> None:
    fell = Curve((0, 500, 1000), np.array([[0.0, 100.0, 10.0], [0.0, 50.0, 70.0]]))
    assert fell.best == 85.0


def test_all_seeds_of_the_oracle_count_and_not_the_best() -> None:
    returns = np.stack([np.full(8, mean) for mean in (100.0, 200.0, 300.0)])
    found = references(20, 200, "x", oracles={"source": Trained(returns, flat(200.0))})
    assert found.scale.oracle.value == pytest.approx(200)
    score = found.scale.score(of_seeds("seeds", np.full((5, 8), 100.0))).interval()
    assert score.value == pytest.approx(0.5, abs=0.01)
    # exact returns, but 0.5 with an oracle that may be 100 or 300 is known badly:
    # the relative error of the mean of three is 100 / sqrt(3) / 200 = 0.29, t is 4.3
    assert score.high - score.low == pytest.approx(2 * 4.3 * 0.5 * 0.289, rel=0.1)


def sound() -> DomainReferences:
    return references(20, 200, "x")


def test_sound_references_have_no_problems() -> None:
    assert sound().problems() == sound().hints() == []


def test_an_oracle_of_a_single_seed_is_a_problem() -> None:
    found = dataclasses.replace(sound(), oracles={"source": trained(200, seeds=1)})
    assert ["single seed" in problem for problem in found.problems()] == [True]


def test_an_oracle_that_does_not_beat_random_actions_is_a_problem() -> None:
    found = dataclasses.replace(sound(), oracles={"source": trained(-5)})
    (problem,) = found.problems()
    assert "does not beat random actions" in problem


def test_an_oracle_that_does_not_beat_the_untouched_policy_is_a_problem() -> None:
    (problem,) = references(220, 200, "x").problems()
    assert "does not beat the untouched source policy, 220, whose score would be 1.10" in problem
    assert references(205, 200, "x").problems() == []  # what the chance of a converged one may do


def test_seeds_of_an_oracle_that_learned_nothing_are_reported() -> None:
    returns = np.stack([np.full(8, mean) for mean in (-1.0, 300.0, 300.0)])
    found = references(20, 200, "x", oracles={"source": Trained(returns, flat(200.0))})
    assert found.hints() == ["1 of 3 seeds of the oracle do not beat random actions"]


def test_an_oracle_that_was_still_rising_is_reported() -> None:
    rising = Curve(tuple(range(0, 1100, 100)), np.tile(np.arange(11.0) * 20, (3, 1)))
    found = references(20, 200, "x", oracles={"source": Trained(around(200, seeds=3), rising)})
    (hint,) = found.hints()
    assert "still rising" in hint
    assert found.problems() == []


def test_scores_far_outside() -> None:
    scores = {"a": 1.2, "b": 1.6, "c": -0.2, "d": -0.46}
    assert [line.split(" is ")[0] for line in far_above(scores)] == ["the score of b"]
    assert [line.split(" is ")[0] for line in far_below(scores)] == ["the score of d"]


def test_scores_far_outside_are_one_line_with_the_labels_of_the_methods() -> None:
    (high,) = far_above({"zero-shot": 0.5, "fine_tune": 1.6, "plain": 1.55, "scratch": 1.4})
    assert high == (
        "the scores of fine-tune (1.60), plain fine-tuning (1.55) and from scratch (1.40) are far "
        "above 1: the oracle is not the best that this domain allows; train it for more steps"
    )
    (low,) = far_below({"fine_tune": -0.5, "scratch": -0.4})
    assert low.startswith("the scores of fine-tune (-0.50) and from scratch (-0.40) are far below")
    assert far_above({"a": 1.0}) == far_below({"a": 0.0}) == []
