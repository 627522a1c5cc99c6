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
        oracle=np.full(EPISODES, 200.0),
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
    assert (good["verdict"], good["negative_transfer"]) == ("ahead", 0.0)
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
    assert method["verdict"] == "behind"
    assert method["negative_transfer"] == pytest.approx(0.3, abs=0.01)
    assert method["gap_closed"]["value"] == pytest.approx(-0.1 / 0.9, abs=0.01)
    assert method["steps_to_threshold"] is None


def test_without_a_gap_nothing_is_closed(results: Results) -> None:
    far = dataclasses.replace(results.targets["far"], zero_shot=around(210))
    summary = summarize(Results(results.source_random, results.source, {"far": far}))
    closed = summary["targets"]["far"]["methods"]["good"]["gap_closed"]
    assert (closed["value"], closed["low"], closed["high"]) == (None, None, None)


def test_an_oracle_that_learned_nothing_is_refused(results: Results) -> None:
    far = dataclasses.replace(results.targets["far"], oracle=np.full(EPISODES, -1.0))
    with pytest.raises(UserError, match=r"far: .*not above random.*train it for more steps"):
        summarize(Results(results.source_random, results.source, {"far": far}))
