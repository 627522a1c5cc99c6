"""Start states of a robot with encoders: steps, differences, whole turns and a bias.

Here the replays round as well, as those of a task do that does not use `Task.counted`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.identification import replay as replays
from sim2real.identification.family import family_of
from sim2real.identification.fit import restarted, start, start_from
from sim2real.identification.log import Log
from sim2real.identification.problem import STATE_STEP, Fit, Problem
from sim2real.identification.record import record
from sim2real.identification.refine import with_states
from sim2real.identification.replay import Replay
from sim2real.identification.windows import channels_of, cut
from sim2real.registry import load_task
from sim2real.simulation import Simulation

FAMILY = Domain(
    dynamics=[{"field": "body_mass", "of": "pendulum", "scale": {"uniform": [0.5, 2.0]}}],
    sensing=[{"bias": {"uniform": [-0.1, 0.1]}, "of": "arm"}],
)
TRUTH = {"body_mass:pendulum": 1.5, "sensor_bias:arm": 0.08}


@pytest.fixture(scope="module")
def problem() -> Iterator[Problem]:
    domain = Domain(
        dynamics=[{"field": "body_mass", "of": "pendulum", "scale": 1.5}],
        sensing=[{"bias": 0.08, "of": "arm"}],
    )
    voltages = np.repeat(np.random.default_rng(0).uniform(-1, 1, (60, 1)), 5, axis=0)
    log = record(Simulation("furuta", domain, 1), voltages, 300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replays, "unrounded", lambda task: task)
        replay = Replay(family_of(load_task("furuta"), FAMILY), 100)
    channels = channels_of(log, replay)
    yield Problem(replay, cut(log, replay, channels, 15), channels)
    replay.close()


@pytest.fixture(scope="module")
def at_truth(problem: Problem) -> Fit:
    return start(problem, problem.replay.family.space.shares([TRUTH])[0])


def test_a_replay_of_the_target_stays_with_its_log(at_truth: Fit) -> None:
    # whole turns would be velocities of 2 pi / 0.04 s
    assert np.abs(at_truth.residuals).max() < 5.0
    assert np.median(np.abs(at_truth.residuals)) < 0.1


def test_states_meet_the_readings_of_a_biased_sensor(problem: Problem, at_truth: Fit) -> None:
    assert at_truth.offsets[:, 0] == pytest.approx(-0.08, abs=0.01)
    assert np.abs(at_truth.residuals[:, 0]).max() < 0.1
    nominal = start(problem, problem.replay.family.nominal)
    assert nominal.offsets == pytest.approx(0.0, abs=0.005)


def test_differences_between_readings_show_nothing_at_the_start(problem: Problem) -> None:
    names = [n for n, one in zip(problem.channels.names, problem.channels.used, strict=True) if one]
    shown = dict(zip(names, problem.shown.tolist(), strict=True))
    assert shown == {
        "arm[0]": 1.0,
        "pendulum[0]": 1.0,
        "pendulum[1]": 1.0,
        "velocity[0]": 0.0,
        "velocity[1]": 0.0,
    }


def test_what_the_first_readings_show_does_not_depend_on_replays_before(problem: Problem) -> None:
    anew = dataclasses.replace(problem)
    count = len(problem.windows)
    shares = np.tile(problem.replay.family.nominal, (count, 1))
    problem.replay.run(shares, problem.windows, np.arange(count), np.zeros((count, 4)))
    assert anew.shown.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_finite_differences_are_larger_than_the_steps_of_an_encoder(problem: Problem) -> None:
    assert problem.in_steps
    assert (problem.state_steps > 3 * 2 * np.pi / 2048 - 1e-3).all()


def test_smooth_sensors_have_small_finite_differences() -> None:
    log: Log = record(Simulation("cartpole", None, 1), np.ones((200, 1)), 200)
    replay = Replay(family_of(load_task("cartpole")), 20)
    channels = channels_of(log, replay)
    problem = Problem(replay, cut(log, replay, channels, 10), channels)
    assert not problem.in_steps
    assert (problem.state_steps == STATE_STEP).all()
    replay.close()


def test_windows_with_bad_start_states_are_fitted_anew(problem: Problem, at_truth: Fit) -> None:
    fit = with_states(problem, at_truth)
    lost, far = fit.offsets.copy(), np.array([0.0, 2.0, 0.0, 20.0])
    lost[3] += far  # the pendulum elsewhere, as after a contact that was missed
    bad = dataclasses.replace(start_from(problem, fit.shares, lost), noise=fit.noise)
    stuck = with_states(problem, bad)
    found = restarted(problem, dataclasses.replace(stuck, noise=fit.noise))
    assert np.abs(stuck.residuals[3]).max() > 5 * np.abs(fit.residuals[3]).max()
    assert np.abs(found.residuals[3]).max() < 0.5 * np.abs(stuck.residuals[3]).max()
    same = np.abs(found.offsets - stuck.offsets).max(axis=1) == 0.0
    assert same.sum() >= 0.65 * len(problem.windows)  # only those that fit worst


def test_a_window_continues_where_the_window_before_ends(problem: Problem, at_truth: Fit) -> None:
    fit = with_states(problem, at_truth)
    found = problem.ends_before(fit)
    assert problem.windows.first[1] == problem.windows.first[0] + problem.windows.steps
    double = dataclasses.replace(
        problem.windows.take(slice(0, 1)),
        commands=np.concatenate(
            [
                problem.windows.commands[:1],
                problem.windows.commands[1:2, problem.windows.before :],
            ],
            axis=1,
        ),
        observations=np.concatenate(
            [problem.windows.observations[:1], problem.windows.observations[1:2, 1:]], axis=1
        ),
    )
    through = problem.replay.run(fit.shares[None], double, np.array([0]), fit.offsets[:1])
    again = problem.replay.run(fit.shares[None], problem.windows, np.array([1]), found[1:2])
    steps = problem.windows.steps
    assert again[0, 1:] == pytest.approx(through[0, steps + 1 :], abs=1e-9)


def test_a_window_without_one_before_stays_as_it_is(problem: Problem, at_truth: Fit) -> None:
    some = problem.subset(np.array([0, 1]))
    fit = start_from(some, at_truth.shares, at_truth.offsets[:2])
    found = some.ends_before(fit)
    assert (found[0] == fit.offsets[0]).all()
    assert (found[1] != fit.offsets[1]).any()
