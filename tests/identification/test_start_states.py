"""Start states of a robot with encoders: steps, differences, whole turns and a bias."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.identification.family import family_of
from sim2real.identification.fit import start
from sim2real.identification.log import Log
from sim2real.identification.problem import STATE_STEP, Fit, Problem
from sim2real.identification.record import record
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
