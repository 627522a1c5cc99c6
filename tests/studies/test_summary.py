from __future__ import annotations

import dataclasses
import json
import math

import measured
import numpy as np
import pytest
from measured import EPISODES, SEEDS, around, flat, method, references, trained
from scipy.stats import binomtest

from sim2real.studies.measures import Measured, TargetResults
from sim2real.studies.oracle import DomainReferences, Trained
from sim2real.studies.report.formats import text
from sim2real.studies.summary import Results, summarize

CLOSE = {"abs": 0.01}


@pytest.fixture
def results() -> Results:
    return measured.results()


def test_numbers_by_hand(results: Results) -> None:
    summary = summarize(results)
    far = summary["targets"]["far"]
    good, scratch = far["methods"]["fine_tune"], far["methods"]["scratch"]
    assert summary["source"]["score"]["value"] == pytest.approx(1.0, **CLOSE)
    assert far["zero_shot_gap"]["value"] == pytest.approx(0.9, **CLOSE)
    assert far["zero_shot"]["score"]["value"] == pytest.approx(0.1, **CLOSE)
    assert far["zero_shot"]["return"]["value"] == pytest.approx(20, abs=0.5)
    assert good["score_after"]["value"] == pytest.approx(0.6, **CLOSE)
    assert good["gap_closed"]["value"] == pytest.approx(0.5 / 0.9, **CLOSE)
    assert good["area_return"]["value"] == pytest.approx(75, abs=0.5)
    assert good["asymptote_return"]["value"] == pytest.approx(120, abs=0.5)  # the last point alone
    assert good["jump_start"]["value"] == pytest.approx(20, abs=0.5)
    assert good["steps_to_threshold"] == pytest.approx(500 * 2 / 3, rel=0.03)
    assert [point["value"] for point in good["curve"]["points"]] == pytest.approx(
        [20, 80, 120], abs=0.5
    )
    assert good["used"] == {"steps": 1000, "episodes": 4, "resets": 6, "falls": 2, "seconds": 50}
    assert good["negative_transfer"] == 0.0
    assert good["home"]["value"] == pytest.approx(70, abs=0.5)
    assert good["forgotten"]["value"] == pytest.approx(-30, abs=0.7)
    assert good["forgotten"]["verdict"] == "worse"
    assert scratch["score_after"]["value"] == pytest.approx(0.3, **CLOSE)
    assert (scratch["against"], scratch["forgotten"]) == ({}, None)
    assert summary["overall"]["fine_tune"]["value"] == good["score_after"]["value"]


def test_each_method_is_compared_with_the_untouched_policy_and_the_baselines(
    results: Results,
) -> None:
    far = summarize(results)["targets"]["far"]
    good, plain = far["methods"]["fine_tune"]["against"], far["methods"]["plain"]["against"]
    assert {name: round(one["value"]) for name, one in good.items()} == {
        "zero_shot": 100,
        "plain": 30,
        "scratch": 60,
    }
    assert list(plain) == ["zero_shot", "scratch"]
    assert {one["comparisons"] for one in (*good.values(), *plain.values())} == {5}  # of the table
    assert far["comparisons"] == {"returns": 5, "home": 2}
    assert {one["verdict"] for one in good.values()} == {"better"}


def test_the_probability_of_improvement_is_that_of_the_seeds(results: Results) -> None:
    far = results.targets["far"]
    mixed = around(20, 80, 120)
    mixed[1, -1] = 0.0  # one of five seeds lost what it had
    methods = {
        **far.methods,
        "fine_tune": dataclasses.replace(far.methods["fine_tune"], returns=mixed),
    }
    changed = dataclasses.replace(results, targets={"far": TargetResults(far.references, methods)})
    improved = summarize(changed)["targets"]["far"]["methods"]["fine_tune"]["improved"]
    exact = binomtest(4, 5).proportion_ci(0.95, method="exact")
    assert improved["value"] == 0.8
    assert (improved["low"], improved["high"]) == pytest.approx((exact.low, exact.high))
    assert improved["seeds"] == SEEDS


def test_how_each_policy_acts_is_the_mean_of_the_seeds(results: Results) -> None:
    found = summarize(results)["targets"]["far"]["quality"]
    assert list(found) == ["zero-shot", "fine_tune", "plain", "scratch"]  # of the oracle no row
    assert found["zero-shot"] == pytest.approx({"jitter": 0.2, "energy": 1234.5})
    assert found["fine_tune"] == pytest.approx({"jitter": 0.3, "energy": 1234.5})


def test_it_is_json_and_the_same_again(results: Results) -> None:
    first = summarize(results)
    assert json.loads(json.dumps(first, allow_nan=False)) == first == summarize(results)


def test_negative_transfer_is_reported(results: Results) -> None:
    far = results.targets["far"]
    methods = {"bad": method(20, 10, 0), "scratch": far.methods["scratch"]}
    changed = dataclasses.replace(results, targets={"far": TargetResults(far.references, methods)})
    bad = summarize(changed)["targets"]["far"]["methods"]["bad"]
    assert bad["against"]["scratch"]["verdict"] == "worse"
    assert bad["negative_transfer"] == pytest.approx(60, abs=0.7)
    assert bad["gap_closed"]["value"] == pytest.approx(-0.1 / 0.9, **CLOSE)
    assert bad["steps_to_threshold"] is None


def test_without_a_gap_nothing_is_closed(results: Results) -> None:
    home = references(100, 1000, "source")  # a score of 0.1 at home, too
    summary = summarize(dataclasses.replace(results, source=home))
    closed = summary["targets"]["far"]["methods"]["fine_tune"]["gap_closed"]
    assert (closed["low"], closed["high"]) == (None, None)
    assert "gap" in closed["why"]


def test_a_gap_that_may_be_none_has_no_share_closed(results: Results) -> None:
    far = results.targets["far"]
    shifts = np.array([-130.0, 130.0, -130.0, 130.0, -130.0])[:, None]
    unsure = dataclasses.replace(far.references, zero_shot=far.references.zero_shot + 60 + shifts)
    found = summarize(
        dataclasses.replace(results, targets={"far": TargetResults(unsure, far.methods)})
    )
    target = found["targets"]["far"]
    gap, closed = target["zero_shot_gap"], target["methods"]["fine_tune"]["gap_closed"]
    assert gap["low"] < 0 < gap["value"]
    assert (closed["value"], closed["low"], len(closed["values"])) == (None, None, 0)
    assert closed["why"].startswith("the gap may be 0: -")
    assert text(closed, "percent") == f"– ({closed['why']})"


def test_the_gap_of_a_domain_against_itself_is_none(results: Results) -> None:
    """The same domain under another name has the same references, and no gap at all."""
    twin = TargetResults(results.source, {"scratch": method(0, 20, 60)})
    found = summarize(dataclasses.replace(results, targets={"twin": twin}))["targets"]["twin"]
    gap = found["zero_shot_gap"]
    assert (gap["low"], gap["value"], gap["high"]) == pytest.approx((0, 0, 0), abs=1e-12)


def test_the_gap_against_an_equal_domain_with_oracles_of_its_own_includes_zero() -> None:
    """Equal physics, but every training and evaluation anew: 0 is in 95 of 100 intervals."""
    rng, inside = np.random.default_rng(0), 0

    def anew(content: str) -> DomainReferences:
        def seeds(mean: float, spread: float, count: int) -> np.ndarray:
            means = mean + spread * rng.standard_normal((count, 1))
            return np.asarray(means + 100 * rng.standard_normal((count, EPISODES)))

        oracle = Trained(seeds(3000, 300, 3), flat(3000))
        return DomainReferences(
            rng.normal(0, 50, EPISODES), {"source": oracle}, zero_shot + seeds(0, 0, 5), content
        )

    for _ in range(200):
        zero_shot = 1500 + 400 * rng.standard_normal((5, 1))  # the same policies in both
        twin = TargetResults(anew("twin"), {"scratch": method(0, 20, 60)})
        gap = summarize(Results(anew("home"), {"twin": twin}))["targets"]["twin"]["zero_shot_gap"]
        inside += gap["low"] <= 0 <= gap["high"]
    assert inside >= 186  # 93 %


def test_the_source_is_scored_with_an_oracle_as_a_target_is(results: Results) -> None:
    """A pretraining that was too short: going on in the source reaches twice as much."""
    changed = dataclasses.replace(results, source=references(100, 200, "source"))
    assert summarize(changed)["source"]["score"]["value"] == pytest.approx(0.5, **CLOSE)


@pytest.mark.parametrize(
    ("oracle", "words"),
    [
        (trained(-1), "does not beat random actions"),
        (trained(200, seeds=1), "single seed"),
        (trained(10), "does not beat the untouched"),
        (trained(80), "the score of fine-tune is 1.50, far above 1"),
    ],
)
def test_a_target_with_an_unsound_oracle_is_left_out_of_scores(
    results: Results, oracle: Trained, words: str
) -> None:
    far = results.targets["far"]
    weak = dataclasses.replace(far.references, oracles={"source": oracle}, content="weak")
    summary = summarize(
        dataclasses.replace(results, targets={"far": far, "weak": TargetResults(weak, far.methods)})
    )
    found = summary["targets"]["weak"]
    assert any(words in problem for problem in found["problems"])
    good = found["methods"]["fine_tune"]
    assert found["zero_shot"]["score"] is found["zero_shot_gap"] is good["score_after"] is None
    assert good["return_after"]["value"] == pytest.approx(120, abs=0.5)
    assert good["against"]["scratch"]["verdict"] == "better"  # of returns, without a reference
    assert summary["left_out"] == ["weak"]
    assert summary["overall"] == summarize(results)["overall"]


def test_a_report_with_no_sound_target_has_no_overall(results: Results) -> None:
    far = results.targets["far"]
    weak = dataclasses.replace(far.references, oracles={"source": trained(-1)})
    summary = summarize(
        dataclasses.replace(results, targets={"far": TargetResults(weak, far.methods)})
    )
    assert summary["overall"] == {}
    json.dumps(summary, allow_nan=False)


def test_a_score_far_below_zero_is_reported_and_stays_in(results: Results) -> None:
    """Leaving it out would hide that a method destroys the policy there."""
    far = results.targets["far"]
    methods = {**far.methods, "fine_tune": method(20, -50, -100)}
    summary = summarize(
        dataclasses.replace(results, targets={"far": TargetResults(far.references, methods)})
    )
    found = summary["targets"]["far"]
    assert found["problems"] == []
    assert any("fine-tune is -0.50, far below 0" in hint for hint in found["hints"])
    assert summary["overall"]["fine_tune"]["value"] == pytest.approx(-0.5, **CLOSE)


def test_without_a_sound_source_there_is_no_gap(results: Results) -> None:
    source = references(100, -5, "source")
    summary = summarize(dataclasses.replace(results, source=source))
    assert summary["source"]["score"] is None
    assert summary["targets"]["far"]["zero_shot_gap"] is None
    assert summary["targets"]["far"]["methods"]["fine_tune"]["gap_closed"] is None
    assert summary["targets"]["far"]["zero_shot"]["score"] is not None


def test_two_seeds_have_no_interval_and_say_so(results: Results) -> None:
    def fewer(one: Measured) -> Measured:
        return dataclasses.replace(one, returns=one.returns[:2], home=one.home[:2])

    far = results.targets["far"]
    two = dataclasses.replace(far.references, zero_shot=far.references.zero_shot[:2])
    source = dataclasses.replace(results.source, zero_shot=results.source.zero_shot[:2])
    target = TargetResults(two, {name: fewer(one) for name, one in far.methods.items()})
    good = summarize(Results(source, {"far": target}))["targets"]["far"]["methods"]["fine_tune"]
    assert good["return_after"]["low"] is None
    assert "3" in good["return_after"]["why"]
    assert {one["verdict"] for one in good["against"].values()} == {"too few seeds"}
    assert not math.isnan(good["return_after"]["value"])
