"""The steps of the local stage on the log of a cartpole."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sim2real.benchmark.identification import shares_of
from sim2real.identification.family import family_of
from sim2real.identification.fit import start
from sim2real.identification.identify import _Study
from sim2real.identification.refine import _leapt, settled, with_delays, with_states
from sim2real.identification.replay import Replay
from sim2real.registry import load_task
from tests.identification.conftest import FAMILY, PROPORTIONS, TRUTH, log_of, scaled, target


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


@pytest.mark.parametrize(("lead", "leaps"), [(0.0, True), (2.0, False)])
def test_a_leap_to_the_mode_of_the_prior_is_judged_after_restarts(lead: float, leaps: bool) -> None:
    """All masses, damping and strength 1.5 or 3.3 times as large: it moves in the same way."""
    family = family_of(load_task("cartpole"), PROPORTIONS)
    replay = Replay(family, 64, threads=1)
    problem = _Study(replay, [log_of(scaled(1.5), 160)], 10, 0, lambda what, done: None, 1).problem
    values = dict(zip(family.names, np.array([1.2, 1.0, 20.0, 0.9]) * 3.3, strict=True))
    fit = with_states(problem, start(problem, shares_of(family, values)))
    fit = settled(problem, fit, 3, lambda done: None)
    known = dataclasses.replace(fit, cost=fit.cost - lead * len(problem.windows))
    found, _ = _leapt(problem, known, lambda done: None)
    strength = family.names.index("strength:drive")
    before, after = (float(family.values(one.shares)[0][strength]) for one in (fit, found))
    assert before > 2.0
    assert after == pytest.approx(0.85 if leaps else before, rel=0.15)
    replay.close()
