"""Failures with a known cause are told, failures by chance are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

from sim2real.errors import UserError
from sim2real.evaluation.failures import failures
from sim2real.evaluation.rollout import Row
from sim2real.evaluation.tree import Condition, grow, held_out, says, short_between

NAMES = ("delay", "friction", "mass")


def row(episode: int, context: dict[str, float], failed: bool, **other: Any) -> Row:
    told = {"total": 10.0, "length": 40 if failed else 500, "truncated": not failed} | other
    return Row(
        "windy", 0, episode, failed=failed, unstable=False, terms={}, context=context, **told
    )


def drawn(count: int, seed: int) -> list[dict[str, float]]:
    values = default_rng(seed).uniform([0.0, 0.2, 0.7], [0.02, 1.0, 1.3], (count, 3))
    return [dict(zip(NAMES, one, strict=True)) for one in values.tolist()]


def episodes(count: int = 200, seed: int = 0) -> list[Row]:
    """They fail when delay > 0.012 and friction <= 0.6, and nowhere else."""
    return [
        row(index, context, context["delay"] > 0.012 and context["friction"] <= 0.6)
        for index, context in enumerate(drawn(count, seed))
    ]


def test_a_known_rule_is_found_in_words() -> None:
    found = failures(episodes())
    assert found.rule is not None
    assert found.rule.accuracy > 0.95
    (cluster,) = found.clusters
    delay, friction = sorted(cluster.conditions, key=lambda one: one.name)
    assert delay.low == pytest.approx(0.012, abs=5e-4)
    assert friction.high == pytest.approx(0.6, abs=0.02)
    assert str(cluster) == (
        f"fails when {' and '.join(map(str, cluster.conditions))}: {found.failed} of "
        f"{cluster.region} episodes, after 40 to 40 control steps (median 40)"
    )
    assert cluster.typical.episode in cluster.episodes
    json.dumps(found.plain(), allow_nan=False)


def test_failures_by_chance_have_no_rule() -> None:
    """5 % of such sets get one: with these seeds 4 of the first 60."""
    reported = 0
    for seed in range(8):
        rng = default_rng([7, seed])
        failing = rng.random(100) < rng.uniform(0.1, 0.6)
        rows = [row(i, one, bool(failing[i])) for i, one in enumerate(drawn(100, seed))]
        reported += failures(rows).rule is not None
    assert reported <= 1


def test_why_there_is_no_rule() -> None:
    few = [row(i, one, i < 4) for i, one in enumerate(drawn(60, 1))]
    assert failures(few).why == (
        "there are 4 failures and 56 others; a rule needs 5 failures and 5 others"
    )
    same = [row(i, {"mass": 1.0}, i % 2 == 0) for i in range(60)]
    assert "draws nothing that differs" in failures(same).why
    assert "no rule found: " in failures(same).sentences()[1]
    none = failures([row(i, one, False) for i, one in enumerate(drawn(60, 1))])
    assert (none.failed, none.clusters) == (0, ())
    assert none.sentences()[0] == "0 of 60 episodes in windy fail"


def test_kinds_and_times_are_clusters_of_their_own() -> None:
    """Half of the episodes fail within 50 control steps, a quarter after 400, a quarter does not
    succeed."""
    rows = [
        row(i, {"mass": 1.0}, i % 4 < 3, length=[30, 45, 400, 500][i % 4], success=False)
        for i in range(80)
    ]
    found = {(one.kind, one.steps): len(one.episodes) for one in failures(rows).clusters}
    assert found == {
        ("failed", (30, 37, 45)): 40,
        ("failed", (400, 400, 400)): 20,
        ("no success", (500, 500, 500)): 20,
    }


def test_a_low_return_counts_where_it_is_asked_for() -> None:
    rows = [row(i, one, False, total=i) for i, one in enumerate(drawn(40, 2))]
    assert failures(rows).failed == 0
    found = failures(rows, below=10.0)
    assert found.failed == 10
    assert {one.kind for one in found.clusters} == {"low return"}


def test_rows_of_several_domains_are_refused() -> None:
    with pytest.raises(UserError, match="rows of 0 domains"):
        failures([])


def test_the_leaves_hold_each_row_once_and_say_what_they_hold() -> None:
    rng = default_rng(3)
    values = rng.normal(size=(300, 4))
    answers = (values[:, 2] > 0.5) ^ (rng.random(300) < 0.05)
    leaves = grow(values, answers, "abcd")
    assert sorted(np.concatenate([leaf.rows for leaf in leaves]).tolist()) == list(range(300))
    said = says(leaves, values, "abcd")
    for leaf in leaves:
        assert set(said[leaf.rows]) == {leaf.says}
        assert leaf.yes == answers[leaf.rows].sum()
    assert (said == answers).mean() > 0.9
    assert (held_out(values, answers, "abcd", 1) == answers).mean() > 0.85
    assert [str(one) for leaf in grow(values, answers, "abcd", 1) for one in leaf.conditions] == [
        "c <= 0.5",
        "c > 0.5",
    ]


def test_numbers_of_conditions_are_short() -> None:
    assert short_between(0.5871, 0.6234) == 0.6
    assert short_between(-3.0, 4.0) == 0.0
    assert short_between(1.0, 1.0 + 1e-15) == 1.0
    assert str(Condition("delay", 0.01, 0.02)) == "0.01 < delay <= 0.02"


def test_failures_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sim2real import cli

    words = ["failures", "pretrained:cartpole", "--domain", "nominal", "--episodes", "2"]
    assert cli.main([*words, "--out", str(tmp_path), "--below", "1e9", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "failures.json").read_text())
    (cluster,) = printed["clusters"]
    assert cluster["kind"] == "low return"
    assert cluster["replay"].startswith("sim2real replay pretrained:cartpole --domain nominal")
    assert cli.main([*words[:-1], "0"]) == 2
    assert "episodes is 0" in capsys.readouterr().err
