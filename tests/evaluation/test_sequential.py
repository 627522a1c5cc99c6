"""Boundaries against published ones, and how often equal policies are called different."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.cli import main
from sim2real.errors import UserError
from sim2real.evaluation.bounds import p_value, spread
from sim2real.evaluation.rollout import evaluate
from sim2real.evaluation.sequential import LOOKS, boundaries, decide, sequential, z_boundaries
from sim2real.evaluation.statistics import compare
from sim2real.task import Array


class Push:
    def __init__(self, gain: float) -> None:
        self.gain = gain

    def predict(self, observation: Any, state: Any = None, **_: Any) -> Any:
        action = observation[:, 1:2] + 0.3 * observation[:, 4:5]
        return np.clip(self.gain * action, -1.0, 1.0), None


def test_boundaries_of_five_equal_looks() -> None:
    """Those of Lan & DeMets' spending function for 5 %: Reboussin et al. (2000), LanDeM."""
    found = z_boundaries((0.2, 0.4, 0.6, 0.8, 1.0))
    assert found == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-3)


def test_a_single_look_is_a_plain_test() -> None:
    assert boundaries([100]) == [pytest.approx(0.05, abs=1e-6)]
    assert boundaries([100], level=0.9) == [pytest.approx(0.1, abs=1e-6)]


def test_the_boundaries_spend_the_whole_error() -> None:
    """Of 100,000 random walks of mean 0, 5 % cross one of the boundaries."""
    z = np.random.default_rng(0).standard_normal((100_000, 4)).cumsum(axis=1)
    crossed = np.abs(z / np.sqrt([1, 2, 3, 4])) > z_boundaries((0.25, 0.5, 0.75, 1.0))
    assert crossed.any(axis=1).mean() == pytest.approx(0.05, abs=0.0021)


def drawn(skewed: bool, studies: int) -> Array:
    """Differences between equal policies, (studies, episodes)."""
    rng = np.random.default_rng(1)
    shape = (studies, LOOKS[-1])
    found: Array = rng.exponential(1.0, shape) - 1.0 if skewed else rng.standard_normal(shape)
    return found


@pytest.mark.parametrize(("skewed", "fewest"), [(False, 0.04), (True, 0.02)])
def test_equal_policies_are_called_different_in_5_percent_at_most(
    skewed: bool, fewest: float
) -> None:
    """Up to three standard errors of 5,000 comparisons of five looks each."""
    differences = drawn(skewed, 5_000)
    decided = np.zeros(len(differences), dtype=bool)
    for size, limit in zip(LOOKS, boundaries(LOOKS), strict=True):
        part = differences[:, :size]
        decided |= p_value(part.mean(axis=1), spread([part])) <= limit
    assert fewest < decided.mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(decided))
    for own, is_decided in list(zip(differences, decided, strict=True))[:50]:
        found = sequential(lambda size, own=own: own[:size])  # type: ignore[misc]
        assert (found.verdict != "undecided") == is_decided


@pytest.mark.parametrize(("shift", "expected"), [(1.2, "better"), (-1.2, "worse")])
def test_a_clear_difference_stops_at_the_first_look(shift: float, expected: str) -> None:
    for own in drawn(False, 20) + shift:
        found = sequential(lambda size, own=own: own[:size])  # type: ignore[misc]
        assert (found.verdict, found.episodes) == (expected, LOOKS[0])


def test_only_what_a_look_needs_is_asked_for() -> None:
    values = np.random.default_rng(2).standard_normal(30)
    asked: list[int] = []

    def differences(size: int) -> Array:
        asked.append(size)
        return values[:size] + (100.0 if size > 10 else 0.0)

    found = sequential(differences, looks=[10, 20, 30])
    assert (found.verdict, found.looks, found.episodes) == ("better", 2, 20)
    assert asked == [10, 20]


def test_bad_looks_are_refused() -> None:
    for looks in ([], [20, 20], [40, 20]):
        with pytest.raises(UserError, match=r"allowed: increasing numbers of episodes"):
            boundaries(looks)
    with pytest.raises(UserError, match=r"the first look has 2 episodes; it needs at least 3"):
        boundaries([2, 20])
    with pytest.raises(UserError, match=r"level must be a number between 0 and 1"):
        boundaries([20], level=1.0)
    with pytest.raises(UserError, match=r"look 1 needs 3 differences, got 2"):
        sequential(lambda _: np.zeros(2), looks=[3])


def test_a_decision_is_that_of_the_same_episodes_at_once() -> None:
    found = decide(Push(1.0), Push(0.2), "cartpole", "nominal", looks=[3, 5], seed=4)
    one, two = (
        [row.total for row in evaluate(Push(gain), "cartpole", "nominal", episodes=5, seed=4)]
        for gain in (1.0, 0.2)
    )
    expected = compare([one[: found.episodes]], [two[: found.episodes]])
    assert (found.value, found.p) == pytest.approx((expected.value, expected.p))
    same = decide(Push(1.0), Push(1.0), "cartpole", "nominal", looks=[3, 5])
    assert (same.verdict, same.value, same.episodes) == ("undecided", 0.0, 5)


def test_the_verb_decides_as_the_function_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["decide", "pretrained:cartpole", "--baseline", "pretrained:cartpole"]
    assert main([*words, "--looks", "3", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["episodes"], found["looks"]) == ("undecided", 3, 1)
    assert json.loads((tmp_path / "decision.json").read_text()) == found
    assert main([*words[:3], "pretrained:hopper"]) == 2
    assert "the policies are of several tasks" in capsys.readouterr().err
