"""The choice of the best of several policies, by few episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sim2real.transfer.selection import LEAST, Selection, race
from sim2real.transfer.verification import Trace

NAMES = ("source", "a", "b")
STEPS = 10


def played(
    means: Sequence[float], budget: int, std: float = 1.0, seed: int = 0
) -> tuple[Selection, list[int]]:
    """The race of policies with returns that are normally distributed, and the steps left."""
    rng, left = np.random.default_rng(seed), [budget]

    def play(place: int) -> list[Trace]:
        length = min(STEPS, left[0])
        left[0] -= length
        reward = (means[place] + std * rng.normal()) / STEPS
        return [Trace(np.full(length, reward), ended=length == STEPS)]

    return race(NAMES[: len(means)], play, lambda: left[0]), left


def test_a_clear_difference_takes_few_episodes() -> None:
    found, left = played((0.0, 50.0, -50.0), budget=10_000)
    assert (found.chosen, found.clear) == ("a", True)
    assert [one.episodes for one in found.standings] == [LEAST] * 3
    assert left == [10_000 - 3 * LEAST * STEPS]


def test_the_budget_ends_what_stays_unclear() -> None:
    found, left = played((0.0, 0.0), budget=60, std=1.0)
    assert left == [0]
    assert [one.episodes for one in found.standings] == [3, 3]
    means = {one.name: one.mean for one in found.standings}
    assert found.chosen == max(means, key=lambda name: means[name] or 0.0)
    assert found.steps is None


def test_equals_leave_the_first_one() -> None:
    found, _ = played((3.0, 3.0), budget=60, std=0.0)
    assert found.chosen == "source"


def test_a_policy_that_did_not_play_is_not_chosen() -> None:
    found, _ = played((-5.0, 100.0, 100.0), budget=STEPS, std=0.0)
    assert found.chosen == "source"
    assert [one.episodes for one in found.standings] == [1, 0, 0]
    assert [one.mean for one in found.standings] == [pytest.approx(-5.0), None, None]
    nothing, _ = played((0.0, 1.0), budget=0)
    assert (nothing.chosen, nothing.clear) == ("source", False)


def test_a_cut_episode_is_compared_over_its_own_time() -> None:
    found, _ = played((10.0, 20.0), budget=STEPS + 4, std=0.0)
    assert found.steps == 4
    assert [one.mean for one in found.standings] == [pytest.approx(4.0), pytest.approx(8.0)]
    assert found.chosen == "a"


@pytest.mark.parametrize("worse", [0.0, 1.0, 3.0])
def test_a_worse_policy_is_chosen_by_chance_only(worse: float) -> None:
    taken = [played((0.0, -worse), budget=200, seed=seed)[0].chosen == "a" for seed in range(200)]
    allowed: Callable[[float], bool] = {
        0.0: lambda rate: 0.35 < rate < 0.65,
        1.0: lambda rate: rate < 0.1,
        3.0: lambda rate: rate == 0.0,
    }[worse]
    assert allowed(float(np.mean(taken)))
