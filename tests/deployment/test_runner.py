"""The control loop on a robot whose answers are known: states, limits, faults, and a whole log."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_robot import (
    DT,
    JOINTS,
    MY_ROBOT,
    REST,
    SCALE,
    FakeClock,
    ToyRobot,
    contract,
    write_exported,
)

from sim2real import cli
from sim2real.deployment.runner.limits import Servos, limited, tilt
from sim2real.deployment.runner.load import load_interface
from sim2real.deployment.runner.run import Result, run
from sim2real.deployment.runner.settings import default_settings, settings_for
from sim2real.errors import UserError
from sim2real.identification.log import Log

PASSIVE, STAND, SOFT = 25, 100, 25  # control steps of the default settings
DRIVEN = PASSIVE + STAND + SOFT
"""The first control step of the policy alone."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_exported(tmp_path / "exported")


def go(folder: Path, robot: ToyRobot, **options: Any) -> tuple[Result, Log]:
    """A run of 1 s of the policy, and its log."""
    settings = {"watchdog_s": 0, **options.pop("settings", {})}
    clock = options.pop("clock", None) or FakeClock()
    log = folder.parent / "run.parquet"
    given = {"seconds": 1.0, "log": log, **options}
    result = run(folder, robot, settings=settings, clock=clock, **given)
    return result, Log.load(log)


def test_the_states_in_order(folder: Path) -> None:
    robot = ToyRobot()
    result, log = go(folder, robot)
    assert result.steps == {"passive": 25, "stand_up": 100, "soft_start": 25, "policy": 50}
    assert (result.reason, result.fault) == ("the policy acted for 1 s", False)
    assert robot.passive
    assert robot.stops >= 2 * PASSIVE
    start, sent = np.array([0.8, 0.3]), result.sent
    share = (np.arange(STAND) + 1)[:, None] / STAND
    np.testing.assert_allclose(sent[:STAND], start + share * (REST - start), atol=1e-7)
    np.testing.assert_allclose(sent[STAND:], np.tile(REST, (SOFT + 50, 1)), atol=1e-7)
    np.testing.assert_array_equal(np.array(robot.written), sent)
    np.testing.assert_array_equal(log.commands, sent)
    assert log.actuators == ("hip_motor", "knee_motor")
    np.testing.assert_allclose(np.diff(log.times), DT)
    np.testing.assert_allclose(log.observations["position"][1:], sent[:-1], atol=1e-7)


def test_a_soft_start_and_the_action_before(folder: Path) -> None:
    robot = ToyRobot(velocity=np.array([-1.0, 4.0]))
    result, log = go(folder, robot)
    action = np.array([0.5, -1.0])  # -velocity / 2, clipped
    asked = REST + SCALE * action
    share = (np.arange(SOFT) + 1)[:, None] / SOFT
    np.testing.assert_allclose(
        log.extras["asked"][STAND : STAND + SOFT], REST + share * (asked - REST), atol=1e-7
    )
    assert result.capped == {"hip_motor": 0, "knee_motor": 65}  # beyond -0.6
    assert result.sent[:, 1].min() == -0.6
    last = log.observations["last_action"]
    np.testing.assert_array_equal(last[STAND], 0.0)  # the first step of the policy's episode
    np.testing.assert_allclose(last[STAND + 1 :], np.tile(action, (SOFT + 49, 1)))


FAULTS: dict[str, tuple[Callable[[ToyRobot], Any], str]] = {
    "nan": (
        lambda robot: setattr(robot, "velocity", np.array([0.0, np.nan])),
        "joints.velocity is not finite",
    ),
    "inf": (
        lambda robot: setattr(robot, "position", np.array([0.0, np.inf])),
        "joints.position is not finite",
    ),
    "tilt": (
        lambda robot: setattr(robot, "gravity", np.array([1.0, 0.0, -0.1])),
        "tilted by 1.47 rad; allowed: 1",
    ),
    "position": (
        lambda robot: setattr(robot, "position", np.array([1.3, 0.0])),
        "hip is at 1.3; allowed: -1.2 to 1.2",
    ),
    "robot": (
        lambda robot: setattr(robot, "fault", "a motor is hot"),
        "the robot reports: a motor is hot",
    ),
    "gone": (
        lambda robot: setattr(robot, "position", [0.0]),
        "the reading has 1 numbers of 'joints.position'; allowed: 2, hip, knee",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("step", [PASSIVE + 10, DRIVEN + 10], ids=["standing up", "policy"])
def test_a_fault_ends_in_the_passive_state(folder: Path, name: str, step: int) -> None:
    change, reason = FAULTS[name]
    robot = ToyRobot(before=lambda robot, count: change(robot) if count == step else None)
    result, log = go(folder, robot)
    assert (result.reason, result.fault) == (reason, True)
    assert robot.passive
    assert len(robot.written) == step - PASSIVE == len(log) == len(result.sent)
    assert log.terminated is not None
    assert log.terminated.tolist() == [name == "tilt"]


def test_a_speed_beyond_its_limit(folder: Path) -> None:
    def kick(robot: ToyRobot, count: int) -> None:
        robot.velocity = np.array([0.0, -3.0 if count == DRIVEN else 0.0])

    result, _ = go(folder, ToyRobot(before=kick), settings={"velocities": {"knee": 2.5}})
    assert result.reason == "knee moves at -3; allowed: 2.5"


def test_a_stale_reading(folder: Path) -> None:
    """The time stamp stands still after 10 steps of the policy; 5 control steps are allowed."""

    def freeze(robot: ToyRobot, count: int) -> None:
        robot.time = min(robot.time, DT * (DRIVEN + 10))

    robot = ToyRobot(before=freeze)
    result, log = go(folder, robot)
    assert result.reason == "stale: no new reading for 0.12 s"
    assert robot.passive
    assert result.steps["policy"] == 16
    assert len(result.sent) == STAND + SOFT + 16
    assert len(log) == STAND + SOFT + 11  # without the rows of old readings
    np.testing.assert_allclose(np.diff(log.times), DT)


def test_a_log_of_many_old_readings_has_the_runners_time(folder: Path) -> None:
    """Every second reading is old: each row counts, with the time at which it was commanded."""

    def halve(robot: ToyRobot, count: int) -> None:
        robot.time = DT * 2 * (count // 2)

    result, log = go(folder, ToyRobot(before=halve))
    assert not result.fault
    np.testing.assert_array_equal(log.commands, result.sent)
    np.testing.assert_allclose(np.diff(log.times), DT)


@pytest.mark.parametrize("method", ["read", "write"])
def test_an_interface_that_fails(
    folder: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = ToyRobot()
    inner, count = getattr(robot, method), iter(range(1000))

    def failing(*arguments: Any) -> Any:
        if next(count) == 140:
            raise OSError("the bus is off")
        return inner(*arguments)

    monkeypatch.setattr(robot, method, failing)
    result, log = go(folder, robot)
    assert result.reason == f"{method} failed: OSError: the bus is off"
    assert robot.passive
    assert len(log) == len(result.sent) == 140 - (PASSIVE if method == "read" else 0)


def test_a_robot_that_cannot_even_stop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = ToyRobot()

    def stop() -> None:
        if robot.reads > DRIVEN:
            raise OSError("unplugged")
        robot.time += DT

    monkeypatch.setattr(robot, "stop", stop)
    result, log = go(folder, robot)
    assert not result.fault
    assert len(log) == len(result.sent)


def test_late_steps(folder: Path) -> None:
    """A wait of 2.5 periods too much: two periods are missed, and the pace is kept."""
    result, log = go(folder, ToyRobot(), clock=FakeClock({DRIVEN + 5: 2.5 * DT}))
    assert not result.fault
    assert (result.timing["missed"], result.timing["late"]) == (2, 1)
    assert result.timing["jitter_us"]["most"] == pytest.approx(2.5e6 * DT)
    assert len(log) == 175


def test_too_many_missed_periods(folder: Path) -> None:
    robot = ToyRobot()
    result, _ = go(folder, robot, clock=FakeClock({DRIVEN + 5: 7.5 * DT}))
    assert result.reason == "late: 7 periods in a row were missed"
    assert robot.passive
    assert result.steps["policy"] == 5


def test_the_largest_step(folder: Path) -> None:
    robot = ToyRobot(velocity=np.array([-2.0, 0.0]))  # an action of 1: REST + 0.5
    result, log = go(folder, robot, settings={"step": {"hip_motor": 0.01}, "soft_s": 0})
    policy = result.sent[STAND:, 0]
    np.testing.assert_allclose(policy, np.minimum(REST[0] + 0.01 * np.arange(1, 51), 0.7))
    np.testing.assert_allclose(log.extras["asked"][STAND:, 0], 0.7)
    assert result.capped == {"hip_motor": 49, "knee_motor": 0}


def test_the_torque_of_a_servo() -> None:
    """20 (command - 0.1) - 1 x 2 is between -3 and 3: the command is between 0.05 and 0.35."""
    settings = settings_for(contract(), {"torque": 3.0, "step": 10.0})
    servos = Servos.of(contract())
    for asked, expected in ((0.9, 0.35), (-0.9, 0.05), (0.2, 0.2)):
        found = limited(
            np.full(2, asked), np.zeros(2), np.full(2, 0.1), np.full(2, 2.0), servos, settings
        )
        np.testing.assert_allclose(found, expected)


def test_tilt() -> None:
    for angle in (0.0, 0.3, 1.5, 3.0):
        for yaw in (0.0, 2.0):
            sideways = np.array([np.cos(yaw), np.sin(yaw)]) * np.sin(angle)
            assert tilt(9.81 * np.array([*sideways, -np.cos(angle)])) == pytest.approx(angle)


def test_a_dry_run_sends_nothing(folder: Path) -> None:
    def clock(robot: ToyRobot, count: int) -> None:
        robot.time = DT * count

    robot = ToyRobot(before=clock)
    with pytest.raises(UserError, match="0 rows can be used"):
        go(folder, robot, dry_run=True)
    assert (robot.written, robot.stops) == ([], 0)
    columns = {
        "time": "time",
        "commands": {"hip": "asked[0]"},
        "observations": {"p": ["position[0]", "position[1]"]},
        "missing": "drop",
    }
    log = Log.load(folder.parent / "run.parquet", columns)
    np.testing.assert_allclose(log.commands[-1], REST[0], atol=1e-7)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_in_the_passive_state(folder: Path, number: signal.Signals) -> None:
    def press(robot: ToyRobot, count: int) -> None:
        if count == DRIVEN + 3:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    robot = ToyRobot(before=press)
    result, log = go(folder, robot)
    assert (result.reason, result.fault) == (f"signal {number.name}", False)
    assert robot.passive
    assert len(log) == STAND + SOFT + 4
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_a_robot_that_hangs(folder: Path) -> None:
    def press(robot: ToyRobot, count: int) -> None:
        if count == DRIVEN:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    robot = ToyRobot(before=press)
    result, log = go(folder, robot)
    assert result.reason == "interrupted"
    assert robot.passive
    assert len(log) == STAND + SOFT


def test_the_watchdog_stops_a_robot_that_hangs(folder: Path) -> None:
    """`read` waits for ever; `stop` is called beside it, and the wait is interrupted."""
    released = threading.Event()

    def hang(robot: ToyRobot, count: int) -> None:
        if count == DRIVEN:
            while not released.wait(0.01):
                assert not robot.passive or robot.written
            raise AssertionError("the wait was not interrupted")

    robot = ToyRobot(before=hang)
    result, log = go(folder, robot, settings={"watchdog_s": 1.0})
    assert result.reason == "a control step took longer than 1 s"
    assert result.fault
    assert robot.passive
    assert len(log) == STAND + SOFT


def test_a_key_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "rb", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)

        def press(robot: ToyRobot, count: int) -> None:
            if count == DRIVEN:
                os.write(master, b"q")

        robot = ToyRobot(before=press)
        result, _ = go(folder, robot)
    os.close(master)
    assert result.reason == "a key was pressed"
    assert robot.passive


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".mcap"])
def test_logs_of_all_formats_are_the_same(folder: Path, suffix: str, tmp_path: Path) -> None:
    robot = ToyRobot(velocity=np.array([-1.0, 0.3]))
    path = tmp_path / f"run{suffix}"
    result = run(
        folder, robot, 0.1, path, settings={"watchdog_s": 0, "stand_s": 0.1}, clock=FakeClock()
    )
    log = Log.load(path)
    np.testing.assert_array_equal(log.commands, result.sent)
    np.testing.assert_allclose(np.diff(log.times), DT, atol=1e-9)
    assert list(log.observations) == ["position", "velocity", "gravity", "last_action"]
    assert not list(tmp_path.glob("*.unfinished"))


def test_the_rows_of_a_killed_runner_are_a_log(folder: Path) -> None:
    """The process ends without any clean-up; `Log.load` reads what is left."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from toy_robot import FakeClock, ToyRobot
from sim2real.deployment.runner.run import run
def kill(robot, count):
    if count == {DRIVEN}:
        os.kill(os.getpid(), 9)
run({str(folder)!r}, ToyRobot(before=kill), log={str(folder / "run.parquet")!r}, clock=FakeClock())
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == -signal.SIGKILL
    log = Log.load(folder / "run.parquet.unfinished")
    assert len(log) == STAND + SOFT
    np.testing.assert_allclose(log.commands[-1], REST, atol=1e-7)


ALLOWED = {"sim2real", "numpy", "onnxruntime"}


def test_it_needs_numpy_and_onnxruntime_alone(folder: Path, tmp_path: Path) -> None:
    """A whole run, with a log as CSV, in a process where no other package can be imported."""
    code = f"""
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in {ALLOWED!r} | {{"toy_robot"}} | set(sys.stdlib_module_names):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from sim2real.deployment.runner.load import load_interface
from sim2real.deployment.runner.run import run
class Clock:
    time = 0.0
    def now(self): return self.time
    def wait_until(self, due): self.time = max(self.time, due)
from sim2real.deployment.runner.policy import read_contract
from pathlib import Path
robot = load_interface({str(tmp_path / "my_robot.py")!r}, read_contract(Path({str(folder)!r})))
print(run({str(folder)!r}, robot, 0.5, {str(tmp_path / "run.csv")!r}, clock=Clock()).reason)
print([name for name in ("torch", "mujoco", "gymnasium", "pydantic") if name in sys.modules])
"""
    (tmp_path / "my_robot.py").write_text(MY_ROBOT)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "the policy acted for 0.5 s\n[]\n", done.stderr
    assert len(Log.load(tmp_path / "run.csv")) == STAND + SOFT + 25


def test_the_interface_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my_robot.py"
    file.write_text(MY_ROBOT + "\n\nclass Other(MyRobot):\n    pass\n")
    robot = load_interface(f"{file}:Other", contract())
    assert type(robot).__name__ == "Other"
    assert robot.read().values["joints.position"] == [0.0, 0.0]
    for reference, problem in (
        (str(file), "it has MyRobot, Other"),
        (f"{file}:MyRobott", "did you mean 'MyRobot'"),
        (str(tmp_path / "none.py"), "does not exist"),
        ("upd:1", "allowed: udp, ros2, FILE.py"),
    ):
        with pytest.raises(UserError, match=problem):
            load_interface(reference, contract())
    file.write_text("import no_such_package")
    with pytest.raises(UserError, match="cannot be imported: ModuleNotFoundError"):
        load_interface(str(file), contract())
    file.write_text("raise SystemExit(3)")
    with pytest.raises(UserError, match="cannot be imported: SystemExit: 3"):
        load_interface(str(file), contract())
    file.write_text(MY_ROBOT + "\n    def __init__(self, port):\n        raise OSError('no bus')\n")
    with pytest.raises(UserError, match="MyRobot cannot be made: OSError: no bus"):
        load_interface(str(file), contract())


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            lambda folder: (folder / "controller.onnx").unlink(),
            "controller.onnx is missing; export",
        ),
        (
            lambda folder: (folder / "controller.onnx").write_text("junk"),
            "controller.onnx is not the file that was exported with contract.json",
        ),
        (
            lambda folder: (folder / "contract.json").write_text("{"),
            "contract.json is not valid JSON",
        ),
        (
            lambda folder: (folder / "contract.json").write_text(
                json.dumps({"format": "sim2real-policy/1", "control_dt": 0.02, "action": {}})
            ),
            "contract.json has no observation, controller, files; export again",
        ),
    ],
    ids=["no controller", "damaged controller", "no JSON", "parts of a contract"],
)
def test_a_damaged_export_is_refused_before_the_robot_is_made(
    folder: Path,
    tmp_path: Path,
    damage: Callable[[Path], Any],
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(folder)
    file = tmp_path / "my_robot.py"
    file.write_text("raise RuntimeError('the robot was made')")
    assert cli.main(["run", str(folder), "--interface", str(file)]) == 2
    assert re.search(problem, capsys.readouterr().err)


def test_default_settings() -> None:
    found = default_settings(contract())
    assert found.rest == tuple(REST)
    assert (found.low, found.high) == ((-1.0, -0.6), (1.0, 0.6))
    np.testing.assert_allclose(found.step, 2 * SCALE, rtol=1e-2)
    assert {name: np.round(one, 6).tolist() for name, one in found.positions.items()} == {
        "hip": [-1.2, 1.2]
    }
    assert (found.tilt, found.stale_s, found.stand_s) == (1.0, 0.1, 2.0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stepp": 1.0}, "unknown setting 'stepp'; did you mean 'step'"),
        ({"step": -1.0}, "step is -1.0; allowed: a number, 0 or more"),
        ({"step": {"hip": 1.0}}, "unknown step 'hip'; allowed: hip_motor"),
        ({"torque": float("nan")}, "torque is nan"),
        ({"positions": {"hip": 1.0}}, "positions are 1.0; allowed: two numbers"),
        ({"positions": {"hip": [1.0, -1.0]}}, "positions of hip are 1 and -1"),
        ({"low": 2.0}, "low and high of actuator 0 are 2 and 1"),
        ({"gravity": "joints.position"}, "allowed: a reading of three numbers"),
        ({"stand_s": True}, "stand_s is True"),
    ],
)
def test_settings_that_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        settings_for(contract(), changes)


def test_settings_by_name() -> None:
    found = settings_for(
        contract(), {"velocities": 3, "rest": {"knee_motor": -0.1}, "positions": {"knee": [-1, 0]}}
    )
    assert found.velocities == dict.fromkeys(JOINTS, 3.0)
    assert found.rest == (0.2, -0.1)
    assert found.positions["knee"] == (-1.0, 0.0)
    assert "hip" in found.positions


def test_what_is_refused_before_the_robot_moves(folder: Path, tmp_path: Path) -> None:
    robot = ToyRobot()
    for arguments, problem in (
        ({"folder": tmp_path}, "is not an exported policy"),
        ({"seconds": 0.0}, "seconds is 0.0"),
        ({"log": tmp_path / "run.xyz"}, "unknown suffix of a log '.xyz'"),
        ({"settings": {"high": "much"}}, "high is 'much'"),
    ):
        with pytest.raises(UserError, match=problem):
            run(**{"folder": folder, "robot": robot, **arguments})  # type: ignore[arg-type]
    assert (robot.reads, robot.stops) == (0, 0)
