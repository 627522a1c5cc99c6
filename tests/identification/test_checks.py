"""Each fault of a log is named with its channel and a remedy; good logs have none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from sim2real.identification import hypotheses
from sim2real.identification.checks import CHECKS, check_log_alone
from sim2real.identification.family import fixed_family
from sim2real.identification.hypotheses import faults
from sim2real.identification.identify import identify
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.identification.replay import Replay
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from tests.identification.conftest import FAMILY, log_of, target

DEGREES = 180 / np.pi


def log_with(values: np.ndarray, command: np.ndarray | None = None) -> Log:
    rows = len(values)
    return Log(
        times=0.02 * np.arange(rows),
        commands=np.sin(np.arange(rows))[:, None] if command is None else command[:, None],
        actuators=("drive",),
        observations={"q": np.stack([np.cos(0.1 * np.arange(rows)), values], axis=1)},
        control_dt=0.02,
    )


def smooth(rows: int = 200) -> np.ndarray:
    return np.sin(0.07 * np.arange(rows))


@pytest.mark.parametrize(
    ("check", "log", "channel", "message"),
    [
        ("constant", log_with(np.full(200, 0.3)), "q[1]", "never changes (0.3): a dead sensor"),
        ("constant", log_with(smooth(), np.zeros(200)), "command of drive", "no part of the robot"),
        ("saturated", log_with(np.minimum(smooth(), 0.5)), "q[1]", "its largest value 0.5 in"),
        ("saturated", log_with(np.maximum(smooth(), -0.5)), "q[1]", "its smallest value -0.5 in"),
        ("wrapped", log_with((np.arange(200) * 0.1) % (2 * np.pi)), "q[1]", "jumps by 2 pi in 3"),
        ("wrapped", log_with((np.arange(200) * 5.0) % 360), "q[1]", "jumps by 360 in 2 rows"),
    ],
)
def test_faults_of_a_log_alone(check: str, log: Log, channel: str, message: str) -> None:
    (finding,) = check_log_alone(log)
    assert (finding.check, finding.channel) == (check, channel)
    assert message in str(finding)
    assert "\n" not in str(finding)
    others = [found for name, one in CHECKS.items() if name != check for found in one(log)]
    assert others == []  # without the check, nothing is found


def test_good_logs_have_no_faults() -> None:
    assert check_log_alone(log_with(smooth())) == ()
    states = np.repeat([0.0, 1.0, 0.0, 1.0], 50)  # a contact is no saturated sensor
    assert check_log_alone(log_with(states)) == ()
    at_rest = np.concatenate([smooth(23), np.full(100, 2.0)])
    assert check_log_alone(log_with(at_rest)) == ()


def random_log(domain: str, steps: int = 300) -> Log:
    worlds = Simulation("hopper", domain, 2, seed=0)
    actions = np.repeat(np.random.default_rng(0).uniform(-1, 1, (50, 2, 3)), 3, axis=0)
    return record(worlds, actions, steps)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay of half of the rows shows the faults, too."""
    monkeypatch.setattr(hypotheses, "ROWS", 120)


@pytest.fixture(scope="module")
def replay() -> Replay:
    return Replay(fixed_family(load_task("hopper")), 64, threads=1)


def scaled(log: Log, factor: float, *terms: str) -> Log:
    """Angles, not the height and the speeds of the torso, in another unit."""
    columns = {
        "position": np.array([1, *[factor] * 4]),
        "velocity": np.array([1, 1, *[factor] * 4]),
    }
    new = {name: log.observations[name] * columns[name] for name in terms}
    return dataclasses.replace(log, observations=log.observations | new)


def reversed_channel(log: Log, term: str, index: int) -> Log:
    values = log.observations[term].copy()
    values[:, index] *= -1
    return dataclasses.replace(log, observations=log.observations | {term: values})


def reversed_axis(log: Log) -> Log:
    return reversed_channel(reversed_channel(log, "position", 4), "velocity", 5)


def shifted(log: Log, steps: int) -> Log:
    """Commands that stand `steps` rows too early in the log."""
    commands = np.concatenate(
        [np.roll(log.commands[rows], -steps, axis=0) for rows in log.episodes]
    )
    return dataclasses.replace(log, commands=commands)


FAULTS: list[tuple[Callable[[Log], Log], str, str]] = [
    (lambda log: scaled(log, DEGREES, "position"), "position: seems to be in degrees", "unit: deg"),
    (lambda log: scaled(log, 1 / DEGREES, "velocity"), "velocity: seems to be in radians", "57.3"),
    (
        lambda log: dataclasses.replace(log, commands=DEGREES * log.commands),
        "commands: seem to be in degrees",
        "57.3",
    ),
    (
        lambda log: reversed_channel(log, "velocity", 5),
        "velocity[5]",
        "reversed; give it `sign: -1",
    ),
    (reversed_axis, "position[4] and velocity[5]", "reversed; give each `sign: -1`"),
    (
        lambda log: dataclasses.replace(log, commands=log.commands * np.array([-1.0, 1.0, 1.0])),
        "command of thigh_joint",
        "seems to be reversed",
    ),
    (lambda log: shifted(log, -2), "commands", "before they are given (-16 ms): the clocks"),
    (lambda log: shifted(log, 6), "commands", "6 steps after they are given (+48 ms)"),
]


QUICK = (0, 3, 5, 6)
CASES = [pytest.param(k, marks=() if k in QUICK else pytest.mark.slow) for k in range(len(FAULTS))]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("case", CASES)
def test_faults_that_a_replay_shows(case: int, replay: Replay) -> None:
    change, channel, message = FAULTS[case]
    found = faults(change(random_log("nominal")), replay)
    assert len(found) == 1, found
    assert str(found[0]).startswith(channel), found
    assert message in str(found[0])


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("domain", ["nominal", "hard"])
def test_other_worlds_are_no_faults(domain: str, replay: Replay) -> None:
    assert faults(random_log(domain), replay) == ()


@pytest.mark.usefixtures("short")
def test_a_delay_of_the_robot_is_no_fault(replay: Replay) -> None:
    assert faults(shifted(random_log("nominal"), 3), replay) == ()


@pytest.mark.slow
def test_identify_names_a_fault() -> None:
    log = log_of(target(), 300)
    wrong = dataclasses.replace(log, commands=-log.commands)
    notes = identify(wrong, "cartpole", FAMILY).notes
    assert any(note.startswith("command of drive: seems to be reversed") for note in notes), notes
