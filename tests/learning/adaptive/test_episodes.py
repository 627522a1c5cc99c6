"""The first episodes to start, not the first to end."""

import json

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.learning.adaptive.episodes import Episodes


def info(total, failed=False):
    return {"episode": {"r": total, "l": 1}, "failed": failed, "context": {"x": total}}


def run(episodes, lengths, steps, end=-1):
    """World i ends an episode every `lengths[i]` steps; its return is 100 * world + clock."""
    for _ in range(steps):
        episodes.tick()
        over = [i for i, length in enumerate(lengths) if episodes.clock % length == 0]
        for world in over:
            episodes.finish(world, info(100.0 * world + episodes.clock))
        episodes.begin(np.array(over, dtype=int), np.full(len(over), end))


def test_the_slowest_of_the_first_is_waited_for():
    episodes = Episodes(3)
    run(episodes, [1, 2, 10], 10)  # all worlds begin anew at step 10
    run(episodes, [1, 2, 10], 9)
    # starts after step 9: 10, 10, 10, 11, 12, 12, ...; that of world 2 at 10 is running
    assert episodes.first(2, 9) != []
    assert [one.world for one in episodes.first(2, 9)] == [0, 1]
    assert episodes.first(3, 9) == []
    run(episodes, [1, 2, 10], 1)
    batch = episodes.first(5, 9)
    assert [(one.started, one.world) for one in batch] == [
        (10, 0),
        (10, 1),
        (10, 2),
        (11, 0),
        (12, 0),
    ]
    assert [one.total for one in batch] == [11.0, 112.0, 220.0, 12.0, 13.0]


def test_episodes_that_began_before_a_change_are_left_out():
    episodes = Episodes(2)
    run(episodes, [4, 4], 8)
    assert episodes.first(1, 4) == []  # begun at 4, with the distribution of before
    run(episodes, [4, 4], 4)
    assert [one.started for one in episodes.first(2, 4)] == [8, 8]


def test_boundaries_are_counted_apart():
    episodes = Episodes(2)
    run(episodes, [2, 2], 2, end=1)
    run(episodes, [2, 2], 2, end=0)
    run(episodes, [2, 2], 2, end=0)
    assert [one.end for one in episodes.first(2, 0, end=1)] == [1, 1]
    assert [one.started for one in episodes.first(2, 0, end=0)] == [4, 4]
    assert episodes.first(1, 0, end=2) == []


def test_what_is_kept_is_what_may_be_asked_for():
    episodes, whole = Episodes(3), Episodes(3)
    for one in (episodes, whole):
        run(one, [1, 2, 7], 7)
    for _ in range(40):
        for one in (episodes, whole):
            run(one, [1, 2, 7], 1)
        episodes.keep(4, {None: 7})
        assert len(episodes.state()["finished"]) <= 4
        assert episodes.first(4, 7) == whole.first(4, 7)
    episodes.keep(0, {})
    assert episodes.state()["finished"] == []


def test_survivors_neither_failed_nor_became_unstable():
    episodes = Episodes(1)
    for what in ({}, {"failed": True}, {"unstable": True}):
        episodes.tick()
        episodes.finish(0, info(1.0) | what)
        episodes.begin(np.array([0]), np.array([-1]))
    assert [one["survived"] for one in episodes.state()["finished"]] == [True, False, False]


def test_a_state_goes_through_json():
    episodes, again = Episodes(2), Episodes(2)
    run(episodes, [2, 3], 10, end=1)
    again.restore(json.loads(json.dumps(episodes.state())))
    assert again.state() == episodes.state()
    for one in (episodes, again):
        run(one, [2, 3], 5)
    assert again.first(3, 2) == episodes.first(3, 2)
    with pytest.raises(UserError, match="state is of 2 worlds, not 3"):
        Episodes(3).restore(episodes.state())
