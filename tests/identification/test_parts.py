"""The parts of a motion: which steps belong to them, and where a fit misses most."""

from __future__ import annotations

import numpy as np

from sim2real.domains import Domain
from sim2real.identification.family import family_of
from sim2real.identification.fit import start
from sim2real.identification.parts import Part, _by_contact, _by_place, _contacts, worst
from sim2real.identification.problem import Problem
from sim2real.identification.record import record
from sim2real.identification.replay import Replay, Windows
from sim2real.identification.windows import channels_of, cut
from sim2real.registry import load_task
from sim2real.simulation import Simulation

MASS = Domain(dynamics=[{"field": "body_mass", "of": "torso", "scale": {"uniform": [0.5, 2.0]}}])


def test_steps_by_contact() -> None:
    contacts = np.array([[0.0, 0.0, 1.0, 1.0, 2.0, np.nan, np.nan]])
    found = {name: steps[0].tolist() for name, steps in _by_contact(contacts)}
    assert found == {
        "no contact": [True, False, False, False, False, False],
        "steady contact": [False, False, True, False, False, False],
        "contacts change": [False, True, False, True, False, False],
    }


def test_steps_by_their_place_in_the_episode() -> None:
    nothing = np.zeros((2, 4, 1))
    windows = Windows(
        nothing, nothing, nothing[:, 0], nothing[:, 0], {}, np.array([1, 16]), before=1
    )
    start_of, end_of = (steps for _, steps in _by_place(windows, np.array([0, 9, 22])))
    assert start_of.tolist() == [[True, True, False], [False, False, False]]  # rows 1 to 3 of 9
    assert end_of.tolist() == [[False] * 3, [False, False, True]]  # rows 7 to 9 of 13


def test_contacts_are_those_of_the_simulation() -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 1, 3))
    log = record(Simulation("hopper", None, 1, seed=0), actions, 40)
    worlds = Simulation("hopper", None, 1, seed=0)
    worlds.reset()
    rows = log.episodes[0]
    counts = [int(worlds.ncon[0])]
    for action in actions[: rows.stop - 1]:
        worlds.advance(action)
        counts.append(int(worlds.ncon[0]))
    replay = Replay(family_of(load_task("hopper"), MASS), 8, threads=1)
    channels = channels_of(log, replay)
    windows = cut(log, replay, channels, 5)
    first = windows.take(np.flatnonzero(windows.first + 5 < rows.stop))
    problem = Problem(replay, first, channels)
    found = _contacts(problem, start(problem, replay.family.nominal))
    expected = np.array(counts)[first.first[:, None] + np.arange(6)]
    assert 0 < (expected > 0).mean() < 1
    assert ((found > 0) == (expected > 0)).mean() > 0.9
    replay.close()


def test_the_worst_part_is_named_if_it_is_clear() -> None:
    usual, other = np.array([0.1, 0.2, 0.1]), np.array([0.3, 0.4, 0.1])
    parts = [Part("all steps", 1.0, usual), Part("fast", 0.3, usual), Part("air", 0.2, other)]
    assert worst(parts, np.array([True, True, False])) == (
        "what is not explained is largest in this part of the motion: air (20% of the steps), "
        "2.5 times the residual of all steps",
    )
    assert worst(parts, np.array([False, False, True])) == ()
    assert worst(parts[:1], np.array([True, True, True])) == ()
