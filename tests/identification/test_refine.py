"""The steps of the local stage on the log of a cartpole."""

from __future__ import annotations

import pytest

from sim2real.benchmark.identification import shares_of
from sim2real.identification.family import family_of
from sim2real.identification.fit import start
from sim2real.identification.identify import _Study
from sim2real.identification.refine import with_delays
from sim2real.identification.replay import Replay
from sim2real.registry import load_task
from tests.identification.conftest import FAMILY, TRUTH, log_of, target


def test_a_delay_moves_by_physics_steps_where_that_is_better() -> None:
    family = family_of(load_task("cartpole"), FAMILY)
    replay = Replay(family, 64, threads=1)
    log = log_of(target(noise=0.002), 160)
    problem = _Study(replay, [log], 10, 0, lambda what, done: None, 1).problem
    late = TRUTH["delay"] + family.timestep
    wrong = start(problem, shares_of(family, {**TRUTH, "delay": late}))
    right = start(problem, shares_of(family, TRUTH))
    found = with_delays(problem, wrong, lambda done: None)
    delay = family.names.index("delay")
    assert found.shares[delay] == pytest.approx(right.shares[delay])
    assert found.cost < wrong.cost
    assert with_delays(problem, found, lambda done: None) is found
    replay.close()
