"""A LogWriter loses nothing when its process is killed, and makes a whole log at its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real import LogWriter
from sim2real.errors import UserError
from sim2real.identification.log import Log

PARTS: dict[str, Any] = {
    "actuators": ["hip", "knee"],
    "terms": {"position": 2, "gyro": 3},
    "control_dt": 0.02,
    "units": {"position": "rad"},
    "extras": {"torque": 1},
}


def row(k: int) -> tuple[Any, ...]:
    observed = {"gyro": [k, k + 0.5, 2.0], "position": np.array([k, -k])}
    return 0.02 * k, [10.0 * k, 1.0], observed, {"torque": k**2}


def test_rows_become_a_log(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.safetensors"
    with LogWriter(path, **PARTS) as log:
        for k in range(3):
            log.add(*row(k))
        log.begin_episode(terminated=True)
        for k in range(2):
            log.add(*row(k))
    found = Log.load(path)
    assert found.starts.tolist() == [0, 3]
    assert found.terminated is not None
    assert found.terminated.tolist() == [True, False]
    assert found.times.tolist() == pytest.approx([0.0, 0.02, 0.04, 0.0, 0.02])
    assert found.commands[:, 0].tolist() == [0.0, 10.0, 20.0, 0.0, 10.0]
    assert found.observations["position"].tolist()[1] == [1.0, -1.0]
    assert found.observations["gyro"].tolist()[2] == [2.0, 2.5, 2.0]
    assert found.extras["torque"][:, 0].tolist() == [0.0, 1.0, 4.0, 0.0, 1.0]
    assert (found.actuators, found.control_dt) == (("hip", "knee"), 0.02)
    assert found.units == {"position": "rad"}
    assert [one.name for one in path.parent.iterdir()] == ["run.safetensors"]


def test_a_table_is_written_where_its_name_says_so(tmp_path: Path) -> None:
    with LogWriter(tmp_path / "run.csv", **PARTS) as log:
        for k in range(3):
            log.add(*row(k))
    found = Log.load(tmp_path / "run.csv")
    assert found.observations["position"].tolist() == [[0.0, 0.0], [1.0, -1.0], [2.0, -2.0]]
    assert found.units == {"position": "rad"}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["run.csv", "run.mapping.yaml"]
    with pytest.raises(UserError, match=r"a log is not written as \.mcap; allowed: \.csv"):
        LogWriter(tmp_path / "run.mcap", **PARTS)


LOOP = """
import sys
from sim2real import LogWriter
log = LogWriter(sys.argv[1], ["hip"], {"position": 1}, control_dt=0.01)
for k in range(10**9):
    log.add(0.01 * k, [k], {"position": [2.0 * k]})
    if k >= 100:
        print(k, flush=True)
"""


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    command = [sys.executable, "-c", LOOP, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        last = int((first + process.stdout.read()).split()[-1])
    with pytest.raises(UserError, match=r"does not exist; .*unfinished is left from a process"):
        Log.load(path)
    left = path.with_name("run.safetensors.unfinished")
    found = Log.load(left)
    assert len(found) >= last + 1
    assert np.array_equal(found.commands[:, 0], np.arange(len(found)))
    assert np.array_equal(found.observations["position"][:, 0], 2.0 * np.arange(len(found)))
    with pytest.raises(UserError, match="left from a process that was killed; `sim2real log conv"):
        LogWriter(path, ["hip"], {"position": 1}, control_dt=0.01)


def test_a_row_that_is_cut_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    log = LogWriter(path, **PARTS)
    for k in range(3):
        log.add(*row(k))
    left = path.with_name("run.safetensors.unfinished")
    whole = left.read_bytes()
    for cut in range(1, 8 * 11):
        left.write_bytes(whole[:-cut])
        assert len(Log.load(left)) == 2
    left.write_bytes(b"{}\n" + whole)
    with pytest.raises(UserError, match="is no file of a LogWriter"):
        Log.load(left)


def test_a_bad_reading_does_not_stop_the_controller(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    log = LogWriter(path, ["hip"], {"position": 1}, control_dt=0.02)
    for time, value in [(0.0, 1.0), (0.02, np.nan), (0.04, 2.0), (0.03, 3.0), (0.06, 4.0)]:
        log.add(time, [0.0], {"position": [value]})
    with pytest.warns(UserWarning, match="2 rows were left out, the first is row 2: a value is"):
        log.close()
    assert Log.load(path).observations["position"][:, 0].tolist() == [1.0, 2.0, 4.0]


def fail_after(path: Path, rows: int) -> None:
    with LogWriter(path, **PARTS) as log:
        for k in range(rows):
            log.add(*row(k))
        print(1 / 0)


def test_an_error_in_the_loop_keeps_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    with pytest.raises(ZeroDivisionError):
        fail_after(path, 3)
    assert len(Log.load(path)) == 3
    with pytest.raises(ZeroDivisionError) as caught:
        fail_after(tmp_path / "empty.safetensors", 0)
    assert "no log was written" in caught.value.__notes__[0]


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "run.safetensors", **PARTS)
    time, command, observed, extras = row(0)
    with pytest.raises(UserError, match="command has 1 numbers; allowed: 2"):
        log.add(time, [1.0], observed, extras)
    with pytest.raises(UserError, match="observation without gyro; allowed: all of position, gyro"):
        log.add(time, command, {"position": [0, 0]}, extras)
    with pytest.raises(UserError, match="unknown name in observation 'giro'; did you mean 'gyro'"):
        log.add(time, command, {"position": [0, 0], "giro": [0, 0, 0]}, extras)
    with pytest.raises(UserError, match="observation 'gyro' has 2 numbers; allowed: 3"):
        log.add(time, command, {"position": [0, 0], "gyro": [0, 0]}, extras)
    with pytest.raises(UserError, match="0 rows were added; allowed: an episode of at least 2"):
        log.close()
    with pytest.raises(UserError, match="is closed"):
        log.add(*row(0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"actuators": []}, "allowed: one name for each"),
        ({"actuators": ["hip", "hip"]}, "allowed: each once"),
        ({"terms": {}}, "there is no observation"),
        ({"terms": {"position": 0}}, "the size of 'position' is 0; allowed: 1"),
        ({"terms": ["position"]}, "allowed: the number of values of each, by name"),
        ({"control_dt": -1}, "control_dt is -1"),
        ({"units": {"pos": "rad"}}, "a unit is given for 'pos'"),
    ],
)
def test_a_header_that_cannot_be_is_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        LogWriter(tmp_path / "run.safetensors", **PARTS | changed)
    assert list(tmp_path.iterdir()) == []


def test_no_file_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    path.write_text("something")
    with pytest.raises(UserError, match="exists already"):
        LogWriter(path, **PARTS)
