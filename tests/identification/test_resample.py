"""Uneven logs are brought to the control step, with an error that bounds the true one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.identification.identify import identify
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.identification.resample import resample
from sim2real.simulation import Simulation
from tests.identification.conftest import FAMILY, TRUTH, target


def motion(times: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(3 * times), np.cos(4 * times)], axis=1)


def log_at(times: np.ndarray, **changed: object) -> Log:
    """A smooth motion, observed at some times, with a count of the rows as a commanded term."""
    parts: dict[str, object] = {
        "times": times,
        "commands": np.sin(2 * times)[:, None],
        "actuators": ("drive",),
        "observations": {"q": motion(times), "phase": np.arange(len(times))[:, None]},
        "control_dt": 0.02,
        "extras": {"torque": motion(times)[:, :1]},
    }
    return Log(**(parts | changed))  # type: ignore[arg-type]


def jittered(dt: float, jitter: float, rows: int = 400, seed: int = 0) -> np.ndarray:
    steps = dt * (1 + jitter * np.random.default_rng(seed).uniform(-1, 1, rows - 1))
    return np.concatenate([[0.0], np.cumsum(steps)])


def test_an_even_log_is_as_it_was() -> None:
    log = log_at(jittered(0.02, 0.004))
    found = resample(log, 0.02)
    assert found.log is log
    assert not found.changed
    assert found.sentence == ""


@pytest.mark.parametrize(
    ("dt", "jitter", "step"),
    [(0.02, 0.3, 0.02), (0.086, 0.0, 0.067), (0.0053, 0.1, 0.02), (0.0205, 0.0, 0.02)],
)
def test_the_error_is_at_most_what_is_reported(dt: float, jitter: float, step: float) -> None:
    found = resample(log_at(jittered(dt, jitter)), step, held=["phase"])
    assert np.diff(found.log.times) == pytest.approx(step)
    assert found.log.control_dt == step
    error = found.log.observations["q"] - motion(found.log.times)
    true = float(np.sqrt(np.mean(error**2)))
    assert true < found.error["q"] < 50 * true + 1e-4
    assert 0.04 * step < np.abs(found.log.observations["q"]).max()
    assert f"to {step * 1e3:.4g} ms" in found.sentence
    assert "interpolation error at most" in found.sentence
    held = np.floor(found.log.observations["phase"]) == found.log.observations["phase"]
    assert held.all()
    assert found.log.extras["torque"][:, 0] == pytest.approx(found.log.observations["q"][:, 0])


def test_a_command_is_the_mean_of_what_was_commanded() -> None:
    times = np.array([0.0, 0.03, 0.05, 0.11, 0.15])
    commands = np.array([[1.0], [3.0], [5.0], [7.0], [9.0]])
    found = resample(log_at(times, commands=commands), 0.04)
    # 30 ms of 1 and 10 ms of 3; 10 ms of 3 and 30 ms of 5; 30 ms of 5 and 10 ms of 7; 30 ms of 7
    # and 10 ms of the last
    assert found.log.commands[:, 0] == pytest.approx([1.5, 4.5, 5.5, 7.5])
    variance = [0.25 * 0.75 * 4, 0.25 * 0.75 * 4, 0.25 * 0.75 * 4, 0.25 * 0.75 * 4]
    assert found.within["drive"] == pytest.approx(np.sqrt(np.mean(variance)) / np.std(commands))


def test_an_episode_ends_at_a_gap() -> None:
    times = jittered(0.02, 0.1)
    times[200:] += 0.5
    log = log_at(times, terminated=[True])
    found = resample(log, 0.02)
    assert (len(found.log.episodes), found.gaps) == (2, 1)
    assert found.log.terminated is not None
    assert found.log.terminated.tolist() == [False, True]
    error = found.log.observations["q"] - motion(found.log.times)
    assert np.abs(error).max() < 0.01
    assert "cut at 1 gaps" in found.sentence


def test_episodes_of_two_rows_are_left_out() -> None:
    times = np.concatenate([jittered(0.02, 0.3, 50), [0.0, 0.02], jittered(0.02, 0.3, 50)])
    log = log_at(times, starts=[0, 50, 52])
    assert len(resample(log, 0.02).log.episodes) == 2
    with pytest.raises(UserError, match="no 3 rows without a gap"):
        resample(log_at(np.array([0.0, 0.03])), 0.02)


@pytest.mark.parametrize("factor", [2.2, 1e3, 1e-3])
def test_a_rate_that_cannot_be_is_refused(factor: float) -> None:
    with pytest.raises(UserError, match=r"allowed: 0\.2 to 40 ms; check the unit of the times"):
        resample(log_at(factor * jittered(0.02, 0.3)), 0.02)


@pytest.mark.usefixtures("nothing_missing")
@pytest.mark.parametrize(
    "period", [pytest.param(0.03, marks=pytest.mark.slow), {"uniform": [0.01, 0.03]}]
)
def test_other_control_periods_are_identified(period: Any) -> None:
    """A controller that takes 30 ms where the task has 20 ms, and one of 10, 20 or 30 ms."""
    given = Domain(control_period=period).control_period
    world = target().model_copy(update={"control_period": given})
    forces = np.repeat(np.random.default_rng(0).uniform(-1, 1, (40, 2, 1)), 5, axis=0)
    log = record(Simulation("cartpole", world, 2, seed=0), forces, 400)
    found = identify(log, "cartpole", FAMILY)
    assert found.notes[0].startswith("resampled: a row every")
    assert found.steps == 400
    rows = {row.name: row.value for row in found.table}
    assert rows["strength:drive"] == pytest.approx(TRUTH["strength:drive"], rel=0.05)
    assert rows["body_mass:pole"] == pytest.approx(TRUTH["body_mass:pole"], rel=0.2)
    assert rows["delay"] == pytest.approx(TRUTH["delay"], abs=0.01)
