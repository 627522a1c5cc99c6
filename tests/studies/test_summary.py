from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.studies.summary import Measured, Results, Target, summarize

SEEDS, EPISODES = 5, 8


def around(*means: float, spread: float = 1.0) -> Any:
    """(seeds, points, episodes) returns around the mean of each point; one point: no axis."""
    rng, shape = np.random.default_rng([int(mean) for mean in means]), (SEEDS, EPISODES)
    points = [mean + spread * rng.uniform(-1, 1, shape) for mean in means]
    return points[0] if len(means) == 1 else np.stack(points, axis=1)


@pytest.fixture
def results() -> Results:
    """Returns in the source 100, random 0; in the target zero-shot 20, random 0, oracle 200.

    Scores by hand: source 1, zero-shot 0.1, so a gap of 0.9. `good`: 20, 80, 120 are scores of
    0.1, 0.4, 0.6, so it closes 0.5 / 0.9 of the gap and has the area (0.25 + 0.5) / 2 = 0.375.
    Scratch: 0, 20, 60 are 0, 0.1, 0.3; good is 0.3 ahead and jumps 0.1; it reaches 0.3 at two
    thirds of the first half.
    """
    good = Measured((0, 500, 1000), around(20, 80, 120), ({"steps": 1000.0, "falls": 2.0},) * 5)
    scratch = Measured((0, 500, 1000), around(0, 20, 60))
    target = Target(
        random=np.zeros(EPISODES),
        oracle=np.full((3, EPISODES), 200.0),
        zero_shot=around(20),
        methods={"good": good, "scratch": scratch},
    )
    return Results(np.zeros(EPISODES), around(100), {"far": target})


def test_numbers_by_hand(results: Results) -> None:
    summary = summarize(results)
    far = summary["targets"]["far"]
    good, scratch = far["methods"]["good"], far["methods"]["scratch"]
    close = {"abs": 0.01}
    assert far["zero_shot_gap"]["value"] == pytest.approx(0.9, **close)
    assert far["zero_shot_score"]["value"] == pytest.approx(0.1, **close)
    assert good["score_after"]["value"] == pytest.approx(0.6, **close)
    assert good["gap_closed"]["value"] == pytest.approx(0.5 / 0.9, **close)
    assert good["area"]["value"] == pytest.approx(0.375, **close)
    assert good["difference"]["value"] == pytest.approx(0.3, **close)
    assert good["jump_start"]["value"] == pytest.approx(0.1, **close)
    assert good["steps_to_threshold"] == pytest.approx(500 * 2 / 3, rel=0.03)
    assert good["curve"]["score"] == pytest.approx([0.1, 0.4, 0.6], **close)
    assert good["used"] == {"steps": 1000, "falls": 2}
    assert (good["verdict"], good["negative_transfer"]) == ("better", 0.0)
    assert scratch["score_after"]["value"] == pytest.approx(0.3, **close)
    assert "difference" not in scratch
    assert summary["overall"]["good"]["value"] == good["score_after"]["value"]
    assert (far["random_return"], far["oracle_return"]) == (0.0, 200.0)


def test_intervals_hold_their_values(results: Results) -> None:
    far = summarize(results)["targets"]["far"]
    for name in ("score_after", "gap_closed", "area", "difference", "jump_start"):
        interval = far["methods"]["good"][name]
        assert interval["low"] <= interval["value"] <= interval["high"], name
        assert interval["high"] - interval["low"] < 0.05, name


def test_it_is_json_and_the_same_again(results: Results) -> None:
    first = summarize(results)
    assert json.loads(json.dumps(first, allow_nan=False)) == first == summarize(results)


def test_negative_transfer_is_told(results: Results) -> None:
    far = results.targets["far"]
    bad = Measured((0, 500, 1000), around(20, 10, 0))
    methods = {"bad": bad, "scratch": far.methods["scratch"]}
    changed = Results(
        results.source_random,
        results.source,
        {"far": dataclasses.replace(far, methods=methods)},
    )
    method = summarize(changed)["targets"]["far"]["methods"]["bad"]
    assert method["verdict"] == "worse"
    assert method["negative_transfer"] == pytest.approx(0.3, abs=0.01)
    assert method["gap_closed"]["value"] == pytest.approx(-0.1 / 0.9, abs=0.01)
    assert method["steps_to_threshold"] is None


def test_without_a_gap_nothing_is_closed(results: Results) -> None:
    far = dataclasses.replace(results.targets["far"], zero_shot=around(210))
    summary = summarize(Results(results.source_random, results.source, {"far": far}))
    closed = summary["targets"]["far"]["methods"]["good"]["gap_closed"]
    assert (closed["value"], closed["low"], closed["high"]) == (None, None, None)
    assert closed["why"] == "no gap"


def test_the_seeds_of_the_oracle_widen_the_scores(results: Results) -> None:
    """Oracles of 150, 200 and 250: their error of 29 in 200 is that of every score."""
    oracle = np.repeat([[150.0], [200.0], [250.0]], EPISODES, axis=1)
    far = dataclasses.replace(results.targets["far"], oracle=oracle)
    summary = summarize(Results(results.source_random, results.source, {"far": far}))
    after = summary["targets"]["far"]["methods"]["good"]["score_after"]
    # t of 2 degrees of freedom at 97.5 %: 4.303; 0.6 * 4.303 * 50 / sqrt(3) / 200
    assert after["value"] - after["low"] == pytest.approx(0.6 * 4.303 * 0.1443, rel=0.05)
    assert after["seeds"] == SEEDS
    assert after["values"] == pytest.approx([0.6] * SEEDS, abs=0.01)


def test_two_seeds_have_no_interval_and_no_verdict(results: Results) -> None:
    far = results.targets["far"]
    methods = {
        label: dataclasses.replace(method, returns=method.returns[:2])
        for label, method in far.methods.items()
    }
    changed = dataclasses.replace(far, methods=methods, zero_shot=far.zero_shot[:2])
    found = summarize(Results(results.source_random, results.source[:2], {"far": changed}))
    good = found["targets"]["far"]["methods"]["good"]
    assert good["score_after"]["low"] is None
    assert good["score_after"]["why"] == "2 seeds, an interval needs 3"
    assert good["verdict"] == "too few seeds"


def test_verdicts_are_corrected_over_methods_and_targets(results: Results) -> None:
    far = results.targets["far"]
    methods = {"good": far.methods["good"], **far.methods, "same": far.methods["scratch"]}
    far = dataclasses.replace(far, methods=methods)
    both = Results(results.source_random, results.source, {"far": far, "near": far})
    found = summarize(both)["targets"]["near"]["methods"]
    assert found["good"]["difference"]["comparisons"] == 4
    assert found["same"]["verdict"] == "undecided"


def test_an_oracle_that_learned_nothing_is_refused(results: Results) -> None:
    far = dataclasses.replace(results.targets["far"], oracle=np.full((1, EPISODES), -1.0))
    with pytest.raises(UserError, match=r"far: .*not above random.*train it for more steps"):
        summarize(Results(results.source_random, results.source, {"far": far}))
