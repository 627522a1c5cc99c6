"""What `evaluate` and the cards tell of one policy in one domain."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy import stats

from sim2real.cli.policies import evaluated
from sim2real.evaluation.rollout import Row
from sim2real.evaluation.summary import summaries, summary


def rows(totals: list[float], failed: int, successes: list[bool] | None = None) -> list[Row]:
    return [
        Row(
            "hard",
            episode,
            0,
            total,
            10,
            episode < failed,
            False,
            False,
            {},
            {},
            success=None if successes is None else successes[episode],
        )
        for episode, total in enumerate(totals)
    ]


def test_the_interval_is_that_of_the_policy_over_its_episodes() -> None:
    totals = [1.0, 2.0, 3.0, 4.0, 5.0]
    found = summary("hard", rows(totals, failed=0))
    expected = stats.t.interval(0.95, 4, 3.0, stats.sem(totals))
    assert found["mean_return"] == 3.0
    assert (found["low"], found["high"]) == pytest.approx(expected)


def test_rates_of_one_policy_are_exact_binomial() -> None:
    found = summary("hard", rows([1.0] * 20, failed=3, successes=[True] * 17 + [False] * 3))
    failures, successes = (
        stats.binomtest(count, 20).proportion_ci(method="exact") for count in (3, 17)
    )
    assert (found["failed"], found["success"]) == (3, 0.85)
    assert found["failure_interval"] == pytest.approx([failures.low, failures.high])
    assert found["success_interval"] == pytest.approx([successes.low, successes.high])
    assert "success" not in summary("hard", rows([1.0] * 20, failed=0))


def test_two_episodes_have_no_interval_of_their_mean() -> None:
    found = summary("hard", rows([1.0, 2.0], failed=1))
    assert (found["low"], found["high"]) == (None, None)
    assert found["failure_interval"] == pytest.approx([0.0126, 0.9874], abs=1e-4)
    assert list(evaluated("x", [found]).columns[1].cells) == ["1.50"]


def test_the_table_says_whose_interval_it_is() -> None:
    table = evaluated("mine on hopper", [summary("hard", rows([1.0, 2.0, 3.0], failed=0))])
    assert "of this policy" in str(table.title)
    assert list(table.columns[1].cells) == ["2.00 (-0.48 to 4.48)"]
    assert list(table.columns[3].cells) == ["0 % (0 % to 71 %)"]


def row(domain: str, episode: int, total: float) -> Row:
    return Row(domain, 0, episode, total, 10, False, True, False, {}, {})


def test_the_gap_to_the_first_domain_is_paired_by_episode() -> None:
    first = [row("nominal", episode, 100.0 * episode) for episode in range(5)]
    losses = (10.0, 12.0, 8.0, 11.0, 9.0)  # mean 10, standard deviation sqrt(2.5)
    hard = [
        replace(one, domain="hard", total=one.total - loss)
        for one, loss in zip(first, losses, strict=True)
    ]
    home, there = summaries([*first, *hard])
    assert home["gap_to_first"] is None
    gap = there["gap_to_first"]
    assert gap["value"] == pytest.approx(10.0)
    half = stats.t.ppf(0.975, 4) * math.sqrt(2.5 / 5)
    # at least as wide as Student's t, far narrower than that of unpaired returns
    half -= 1e-9
    assert half <= gap["value"] - gap["low"] <= 2 * half
    assert half <= gap["high"] - gap["value"] <= 2 * half


def test_one_domain_has_no_gap() -> None:
    (alone,) = summaries([row("nominal", 0, 1.0)])
    assert alone["gap_to_first"] is None
