"""Unstable episodes never make a policy look better, and are counted beside every figure."""

import numpy as np
import pytest

from sim2real.cli.policies import evaluated
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import Row, evaluate, returns
from sim2real.evaluation.summary import summary
from sim2real.evaluation.unstable import NOTE, counted_returns


def row(episode, total, unstable=False):
    ends = {"failed": False, "truncated": not unstable, "unstable": unstable}
    return Row("wild", 0, episode, total, 10, **ends, terms={"one": total}, context={})


@pytest.mark.parametrize(
    ("totals", "unstable", "counted"),
    [
        ([-40.0, -50.0, -2.0], [0, 0, 1], [-40, -50, -50]),  # cut short: not the best one
        ([900.0, 800.0, 1e9], [0, 0, 1], [900, 800, 800]),  # what a blow-up pays is nothing
        ([900.0, 800.0, 3.0], [0, 0, 1], [900, 800, 3]),  # its own return, where that is lower
        ([1.0, 2.0], [0, 0], [1, 2]),
        ([1.0, 2.0], [1, 1], [np.nan, np.nan]),
    ],
)
def test_an_unstable_episode_counts_with_the_lowest(totals, unstable, counted):
    np.testing.assert_array_equal(counted_returns(totals, map(bool, unstable)), counted)


def test_means_are_of_what_the_episodes_count_for():
    rows = [row(0, -40.0), row(1, -50.0), row(2, -2.0, unstable=True), row(3, -30.0)]
    assert returns(reversed(rows)).tolist() == [-40, -50, -50, -30]
    shown = summary("wild", rows)
    assert shown["mean_return"] == pytest.approx(-42.5)
    assert shown["unstable"] == 1
    assert evaluated("policy", [shown]).caption == NOTE
    assert evaluated("policy", [summary("wild", rows[:2])]).caption is None


def test_where_nothing_stayed_stable_there_is_no_return():
    rows = [row(0, 1.0, unstable=True), row(1, 2.0, unstable=True)]
    with pytest.raises(UserError, match="all 2 episodes in domain 'wild' became unstable"):
        returns(rows)
    shown = summary("wild", rows)
    assert (shown["mean_return"], shown["low"], shown["unstable"]) == (None, None, 2)
    assert evaluated("policy", [shown]).columns[1]._cells == ["–"]


class Nan:
    """Forgets its second action."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        action = np.zeros((len(observation), 3), dtype=np.float32)
        action[1, 2] = np.nan
        return action, None


def test_a_policy_whose_action_is_not_finite_is_named():
    with pytest.raises(UserError, match="the policy's action 2 for world 1 is nan"):
        evaluate(Nan(), "hopper", "nominal", episodes=3)


def test_rows_count_what_the_engine_gave_up():
    gain = {"field": "actuator_gain", "scale": {"choice": [1, 1e12]}, "shared": True}
    wild = Domain(name="wild", dynamics=[gain])

    class Still:
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return np.full((len(observation), 3), 0.1, dtype=np.float32), None

    rows = evaluate(Still(), "hopper", wild, episodes=12, num_envs=4)
    broken = [max(one.context.values()) == 1e12 for one in rows]
    assert [one.unstable for one in rows] == broken
    assert 0 < sum(broken) < 12
    assert returns(rows).max() == max(one.total for one in rows if not one.unstable)
