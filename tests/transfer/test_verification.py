"""Which of two policies is better, from whole and cut episodes and a prediction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim2real.identification.record import record
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.verification import Trace, compare, simulate, traces_of


def episodes(reward: float, steps: int, count: int, ended: bool = True) -> list[Trace]:
    """Episodes of equal rewards; each is one step longer than the one before."""
    return [Trace(np.full(steps + k, reward), ended) for k in range(count)]


def test_returns_are_compared_over_the_time_that_both_cover() -> None:
    source, adapted = episodes(1.0, 90, 4), [Trace(np.full(250, 3.0), ended=False)]
    simulated = episodes(1.0, 90, 4), episodes(3.0, 1000, 4)
    found = compare(source, adapted, simulated, explained=False)
    assert found.steps == 250
    assert found.measured == pytest.approx(250 * 3.0 - 91.5)
    assert found.predicted == pytest.approx(250 * 3.0 - 91.5)
    assert found.keep
    assert found.clear
    whole = compare(source, episodes(3.0, 1000, 1), simulated, explained=False)
    assert whole.steps == math.inf
    assert whole.plain()["steps"] is None


def test_a_cut_episode_is_not_compared_beyond_its_end() -> None:
    source = [Trace(np.full(100, 1.0), ended=False)]
    adapted = [Trace(np.full(900, 2.0), ended=True)]
    simulated = episodes(1.0, 900, 3), episodes(2.0, 900, 3)
    found = compare(source, adapted, simulated, explained=True)
    assert (found.steps, found.measured) == (100, pytest.approx(100.0))


@pytest.mark.parametrize("explained", [True, False])
def test_a_slower_start_does_not_decide_about_whole_episodes(explained: bool) -> None:
    source = [Trace(np.full(125, 2.5), ended=False)]  # it falls soon after
    adapted = [Trace(np.full(250, 2.2), ended=False)]
    simulated = episodes(2.5, 125, 4), episodes(2.2, 1000, 4)
    found = compare(source, adapted, simulated, explained)
    assert found.measured is not None
    assert found.measured == pytest.approx(-37.5)
    assert found.mean == pytest.approx(2203.3 - 316.25, rel=1e-2)
    assert (found.keep, found.clear) == (explained, explained)


def test_a_start_that_is_worse_than_predicted_counts_for_the_rest() -> None:
    source, adapted = episodes(1.0, 100, 1, False), episodes(0.5, 100, 1, False)
    simulated = episodes(1.0, 1000, 4), episodes(1.2, 1000, 4)
    found = compare(source, adapted, simulated, explained=True)
    assert found.predicted == pytest.approx(20)
    assert found.mean == pytest.approx(-500, rel=0.05)
    assert (found.keep, found.disappoints) == (False, True)


def test_the_mean_is_that_of_two_normal_distributions() -> None:
    rng = np.random.default_rng(0)
    source, adapted = ([Trace(rng.normal(m, 1, 1), True) for _ in range(5)] for m in (0.0, 1.0))
    simulated = episodes(0.0, 1, 2), [Trace(np.array([4.0]), True)] * 2
    found = compare(source, adapted, simulated, explained=True)
    one, two = (np.array([trace.rewards[0] for trace in each]) for each in (source, adapted))
    variance = one.var(ddof=1) / 5 + two.var(ddof=1) / 5
    weights = np.array([1 / 4.0**2, 1 / variance])
    expected = weights @ [4.0, two.mean() - one.mean()] / weights.sum()
    assert found.mean == pytest.approx(expected)
    assert found.error == pytest.approx(weights.sum() ** -0.5)


@pytest.mark.parametrize(("explained", "keep"), [(True, True), (False, False)])
def test_without_an_episode_the_prediction_counts_where_the_log_is_explained(
    explained: bool, keep: bool
) -> None:
    simulated = episodes(1.0, 90, 4), episodes(3.0, 1000, 4)
    found = compare(episodes(1.0, 90, 2), [], simulated, explained)
    assert (found.measured, found.keep, found.clear) == (None, keep, False)


def test_a_policy_that_is_worse_in_the_target_is_not_kept() -> None:
    simulated = episodes(1.0, 90, 4), episodes(3.0, 1000, 4)
    found = compare(episodes(1.0, 90, 4), episodes(1.0, 30, 4), simulated, explained=True)
    assert (found.keep, found.clear, found.disappoints) == (False, True, True)


def test_the_worse_of_two_equal_policies_is_kept_at_most_by_chance() -> None:
    rng = np.random.default_rng(1)

    def drawn(mean: float, count: int) -> list[Trace]:
        return [Trace(rng.normal(mean, 1.0, 1), True) for _ in range(count)]

    simulated = drawn(0.0, 64), drawn(0.5, 64)  # a simulation that is wrong
    kept = [compare(drawn(0, 4), drawn(-3, 4), simulated, False).keep for _ in range(200)]
    assert np.mean(kept) < 0.02


def test_an_unexplained_log_asks_for_a_clear_difference() -> None:
    source = [Trace(np.array([one]), True) for one in (0.0, 2.0)]
    adapted = [Trace(np.array([one]), True) for one in (1.0, 3.0)]
    simulated = episodes(1.0, 1, 2), [Trace(np.array([2.0]), True)] * 2
    assert compare(source, adapted, simulated, explained=True).keep
    assert not compare(source, adapted, simulated, explained=False).keep
    better = [Trace(np.array([one]), True) for one in (6.0, 8.0)]
    assert compare(source, better, simulated, explained=False).keep


def test_simulated_episodes_are_the_first_of_each_world() -> None:
    class Weak:
        def predict(self, observation: np.ndarray, **_: object) -> tuple[np.ndarray, None]:
            return np.zeros((len(observation), 3), np.float32), None

    found = simulate(Weak(), make_vec_env("hopper", None, 3, seed=2))  # type: ignore[arg-type]
    log = record(make_vec_env("hopper", None, 3, seed=2), Weak(), steps=3 * 400)
    recorded = traces_of(log, 1000)
    assert all(trace.ended for trace in found)
    assert all(
        any(np.array_equal(one.rewards, other.rewards) for other in recorded) for one in found
    )
    assert len(found) == 3


def test_an_episode_as_long_as_the_time_limit_has_ended() -> None:
    log = record(Simulation("half_cheetah", None), np.zeros((30, 6)), steps=30)
    assert [trace.ended for trace in traces_of(log, 1000)] == [False]
    assert [trace.ended for trace in traces_of(log, 30)] == [True]
