"""A log is checked when it is made, and a file gives back what was saved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.identification.log import Log, join
from sim2real.identification.record import record
from sim2real.simulation import Simulation


def parts(**changed: Any) -> dict[str, Any]:
    """Two episodes, of 3 and 2 rows."""
    whole = {
        "times": np.array([0.0, 0.1, 0.2, 0.0, 0.1]),
        "commands": np.arange(10.0).reshape(5, 2),
        "actuators": ("hip", "knee"),
        "observations": {"position": np.arange(5.0)[:, None], "gyro": np.ones((5, 3))},
        "control_dt": 0.1,
        "starts": np.array([0, 3]),
        "terminated": np.array([True, False]),
        "units": {"position": "m"},
        "extras": {"torque": np.zeros((5, 2))},
    }
    return whole | changed


def test_episodes_and_steps() -> None:
    log = Log(**parts())
    assert (len(log), log.steps) == (5, 3)
    assert log.episodes == (slice(0, 3), slice(3, 5))
    assert "3 steps in 2 episodes" in repr(log)


def test_one_episode_is_the_default() -> None:
    given = parts(times=np.arange(5) * 0.1)
    log = Log(**{name: given[name] for name in list(given)[:5]})
    assert log.episodes == (slice(0, 5),)
    assert log.terminated is not None
    assert not log.terminated.any()


def test_arrays_are_copies_that_nobody_can_write() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.0, 0.1])
    log = Log(**parts(times=times))
    times[0] = -1.0
    assert log.times[0] == 0.0
    for array in (log.times, log.commands, log.starts, log.observations["gyro"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9.0


def test_take() -> None:
    log = Log(**parts()).take([1])
    assert log.commands.tolist() == [[6.0, 7.0], [8.0, 9.0]]
    assert log.observations["position"].tolist() == [[3.0], [4.0]]
    assert log.starts.tolist() == [0]
    assert log.terminated is not None
    assert log.terminated.tolist() == [False]
    both = Log(**parts()).take([1, 0])
    assert both.starts.tolist() == [0, 2]
    assert both.times.tolist() == [0.0, 0.1, 0.0, 0.1, 0.2]
    with pytest.raises(UserError, match="allowed: 0 to 1"):
        Log(**parts()).take([2])


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    log = Log(**parts())
    log.save(tmp_path / "a.safetensors")
    again = Log.load(tmp_path / "a.safetensors")
    for name in ("times", "commands", "starts", "terminated"):
        assert np.array_equal(getattr(again, name), getattr(log, name)), name
    assert list(again.observations) == ["position", "gyro"]
    assert np.array_equal(again.observations["position"], log.observations["position"])
    assert np.array_equal(again.extras["torque"], log.extras["torque"])
    assert (again.actuators, again.control_dt, again.units) == (("hip", "knee"), 0.1, log.units)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="does not exist"):
        Log.load(path)
    Log(**parts()).save(path)
    whole = path.read_bytes()
    for data in (b"", whole[:50], whole[:-8], b"no log at all", whole.replace(b"knee", b"hip\xff")):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"no log, or it is damaged: .*; allowed: \.csv, "):
            Log.load(path)
    path.write_bytes(whole.replace(b'\\"control_dt\\": 0.1', b'\\"control_dt\\": -10'))
    with pytest.raises(UserError, match="control_dt is -10; allowed: seconds, more than 0"):
        Log.load(path)


NAN = np.array([[0.0], [1.0], [np.nan], [1.0], [2.0]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"times": [0.0, 0.1, np.inf, 0.0, 0.1]}, r"times\[2\] is inf; allowed: finite"),
        ({"times": [0.0, 0.2, 0.1, 0.0, 0.1]}, r"times\[2\] is 0.1 s after 0.2 s; allowed"),
        ({"times": [0.0, 0.1, 0.1, 0.0, 0.1]}, r"times\[2\] is 0.1 s after 0.1 s"),
        ({"times": ["now"] * 5}, "times must be numbers"),
        ({"times": np.zeros((5, 1))}, r"times must be \(n,\), got \(5, 1\)"),
        ({"commands": np.zeros((4, 2))}, "commands has 4 rows, times has 5"),
        ({"commands": np.zeros(5)}, r"commands must be \(n, k\), got \(5,\)"),
        ({"actuators": ("hip",)}, "1 actuators are named for 2 columns"),
        ({"actuators": ("hip", "hip")}, "allowed: each once"),
        ({"observations": {}}, "there is no observation"),
        ({"observations": {"position": NAN}}, r"observation 'position'\[2, 0\] is nan"),
        ({"observations": {"position": np.ones((3, 1))}}, "observation 'position' has 3 rows"),
        ({"observations": [1.0]}, "arrays by name"),
        ({"extras": {"torque": np.ones((3, 1))}}, "extra 'torque' has 3 rows"),
        ({"units": {"speed": "m/s"}}, "a unit is given for 'speed'; allowed: position, gyro"),
        ({"control_dt": 0.0}, "control_dt is 0.0; allowed: seconds, more than 0"),
        ({"control_dt": True}, "control_dt is True"),
        ({"starts": [0, 4]}, "episode 1 has 1 rows; allowed: at least 2"),
        ({"starts": [0, 3, 3]}, "episode 1 has 0 rows"),
        ({"starts": [1, 3]}, "allowed: rows in order, the first 0"),
        ({"starts": [0, 7]}, "episode 1 has -2 rows"),
        ({"starts": [0.0, 3.5]}, "allowed: rows in order"),
        ({"terminated": [True]}, r"terminated must be \(2,\), got \(1,\)"),
    ],
)
def test_bad_parts_are_refused_in_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Log(**parts(**changed))
    assert "\n" not in str(caught.value)


def test_joined_logs_have_the_episodes_of_all() -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (200, 1, 3)).astype(np.float32)
    logs = [record(Simulation("hopper", "hard", seed=k), actions, steps=200) for k in (1, 2)]
    whole = join(logs)
    counts = [len(log.starts) for log in logs]
    assert whole.steps == 400
    for part, log in zip((range(counts[0]), range(counts[0], sum(counts))), logs, strict=True):
        taken = whole.take(part)
        assert np.array_equal(taken.times, log.times)
        assert np.array_equal(taken.observations["position"], log.observations["position"])
        assert np.array_equal(taken.extras["reward"], log.extras["reward"])
    other = dataclasses.replace(logs[1], control_dt=0.01)
    with pytest.raises(UserError, match=r"logs: control_dt are 0.008 and 0.01; allowed: the same"):
        join([logs[0], other])
