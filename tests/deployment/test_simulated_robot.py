"""A simulated robot behind the runner: in the same process, and as a process behind UDP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from toy_robot import FakeClock, write_linear

from sim2real.deployment.robot import Channel, Link, Server
from sim2real.deployment.runner import udp
from sim2real.deployment.runner.packets import KILL, QUIT, packed
from sim2real.deployment.runner.policy import read_contract
from sim2real.deployment.runner.run import run
from sim2real.deployment.runner.udp import UdpRobot
from sim2real.deployment.simulated import DRIVEN, PASSIVE, SimulatedRobot
from sim2real.errors import UserError
from sim2real.identification.compare import compare
from sim2real.identification.log import Log

QUICK = {"watchdog_s": 0}
SWING = np.array([0.3, 0.1, -0.2, 0.4, -0.5])
"""Gains of the slider's position, the velocities of slider and hinge, cosine and sine."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A controller of the cart that is linear in its readings."""
    return write_linear(tmp_path / "exported", SWING)


def test_the_log_of_a_run_is_that_of_its_world(folder: Path, tmp_path: Path) -> None:
    """A replay in the same domain predicts the log to rounding; one in another does not."""
    robot = SimulatedRobot("cartpole", "hard")
    log = tmp_path / "run.parquet"
    result = run(folder, robot, 2.0, log, QUICK, clock=FakeClock())
    assert (result.fault, len(result.sent), robot.mode) == (False, 100, PASSIVE)
    read = Log.load(log)
    np.testing.assert_array_equal(read.commands, result.sent)
    same, other = (compare(read, "cartpole", name) for name in ("hard", "nominal"))
    worst = {name: max(one.one_step for one in found.errors) for name, found in named(same, other)}
    assert worst["same"] < 1e-5 < 1e-2 * worst["other"]


def named(same: Any, other: Any) -> list[tuple[str, Any]]:
    return [("same", same), ("other", other)]


def test_a_period_of_no_whole_physics_steps_is_refused() -> None:
    with pytest.raises(UserError, match=r"the period of 0.0013 s is not a multiple of 0.01 s"):
        SimulatedRobot("cartpole", "nominal", period_s=0.0013)


def test_its_passive_state_is_damping() -> None:
    """In a plain MuJoCo forward pass its forces are against the velocities, and 0 at rest."""
    robot = SimulatedRobot("quadruped", "nominal", period_s=0.004)
    for _ in range(60):
        robot.stop()
    model, data = robot.simulation.model, mujoco.MjData(robot.simulation.model)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL
    data.qpos, data.qvel = robot.simulation.qpos[0], robot.simulation.qvel[0]
    data.ctrl = robot.damping()
    mujoco.mj_forward(model, data)
    speed = data.qvel[6:].copy()
    assert np.abs(speed).max() > 0.1
    assert (data.actuator_force * speed < 0).all()
    data.qvel[:] = 0
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.actuator_force, 0.0, atol=1e-9)


def test_the_kill_switch(folder: Path) -> None:
    robot = SimulatedRobot("cartpole", "nominal")

    class Pressed(FakeClock):
        def wait_until(self, due: float) -> None:
            super().wait_until(due)
            if self.waits == 10:
                robot.kill()

    result = run(folder, robot, 1.0, settings=QUICK, clock=Pressed())
    assert result.reason == "the robot reports: the kill switch was pressed"
    assert robot.mode == "killed"
    robot.write(np.ones(1))
    assert robot.mode == "killed"


def test_a_channel_delays_and_loses() -> None:
    channel = Channel(Link(latency_s=0.5, loss=0.25, seed=1), 0)
    for k in range(4000):
        channel.put(float(k), k)
    assert list(channel.arrived(0.4)) == []
    found = list(channel.arrived(1999.5))
    assert max(found) == 1999
    rest = list(channel.arrived(1e9))
    assert found + rest == sorted(found + rest)
    lost = 4000 - len(found) - len(rest)
    assert abs(lost - 1000) < 4 * np.sqrt(4000 * 0.25 * 0.75)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"latency_s": -0.1}, "latency is -0.1 s; allowed: 0 to 10"),
        ({"loss": 1.5}, "loss is 1.5; allowed: 0 to 1"),
    ],
)
def test_links_that_are_refused(arguments: dict[str, float], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        Link(**arguments)  # type: ignore[arg-type]


def test_without_commands_it_becomes_passive() -> None:
    times = iter([0.0, 0.0, 0.05, 0.05, 0.5, 0.5])
    server = Server(SimulatedRobot("cartpole"), 0, timeout_s=0.1, now=lambda: next(times))
    server._take({"do": "write", "n": 1, "commands": [0.5]})
    server.take_period(0.05)
    assert server.robot.mode == DRIVEN
    server.take_period(0.5)
    assert server.robot.mode == PASSIVE
    assert server.counts["timeouts"] == 1
    server._take({"do": "write", "n": 1, "commands": [0.5]})  # an old one, and one too long
    server._take({"do": "write", "n": 2, "commands": [0.5, 0.5]})
    assert server.counts["write"] == 1
    server.close()


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """The server in a thread."""
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server._quit = True
    thread.join(timeout=10)


def connected(folder: Path, server: Server) -> UdpRobot:
    return UdpRobot(read_contract(folder), f"127.0.0.1:{server.port}")


def test_behind_udp_in_lockstep_it_is_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command is answered by one reading: the run equals that without a link, bit for bit."""
    monkeypatch.setattr(udp, "WAIT", 25.0)
    direct = run(folder, SimulatedRobot("cartpole", "hard"), 0.5, None, QUICK, clock=FakeClock())
    with served(Server(SimulatedRobot("cartpole", "hard"), 0, lockstep=True)) as server:
        robot = connected(folder, server)
        result = run(folder, robot, 0.5, None, QUICK, clock=FakeClock())
        robot.close()
    np.testing.assert_array_equal(result.sent, direct.sent)
    assert server.robot.mode == PASSIVE
    assert server.counts["write"] == 25


def test_a_link_that_goes_down(folder: Path, tmp_path: Path) -> None:
    """From the tenth control step on no reading comes back."""
    with served(Server(SimulatedRobot("cartpole"), 0, lockstep=True)) as server:
        robot = connected(folder, server)

        class Cut(FakeClock):
            def wait_until(self, due: float) -> None:
                super().wait_until(due)
                if self.waits == 10:
                    server._outbox = Channel(Link(loss=1.0), 1)

        log = tmp_path / "run.csv"
        settings = QUICK | {"missed": 1000}
        result = run(folder, robot, 100.0, log, settings, clock=Cut())
        robot.close()
    assert result.reason.startswith("stale: no new reading for")
    assert server.robot.mode == PASSIVE
    assert len(Log.load(log)) == len(result.sent)


def test_a_robot_that_lacks_a_joint(folder: Path) -> None:
    with (
        served(Server(SimulatedRobot("furuta"), 0, lockstep=True)) as server,
        pytest.raises(UserError, match="of the joint 'slider'"),
    ):
        connected(folder, server)


def test_a_process_that_is_killed(folder: Path, tmp_path: Path) -> None:
    """It becomes passive when the runner falls silent; when it is killed, the runner stops."""
    command = [sys.executable, "-m", "sim2real.cli", "robot", "cartpole", "--port", "0"]
    process = subprocess.Popen([*command, "--seconds", "100"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip().rpartition("udp:")[2]
        robot = UdpRobot(read_contract(folder), address)
        robot.write(np.array([0.1]))
        modes: list[str] = []
        until = time.monotonic() + 30
        while modes[-2:] != [DRIVEN, PASSIVE] and time.monotonic() < until:
            for packet in robot._packets(1.0):
                if packet.get("mode") not in (None, *modes[-1:]):
                    modes.append(packet["mode"])
        assert modes[-2:] == [DRIVEN, PASSIVE]

        class Kills(FakeClock):
            def wait_until(self, due: float) -> None:
                super().wait_until(due)
                time.sleep(0.002)
                if self.waits == 20:
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()

        log = tmp_path / "run.csv"
        result = run(folder, robot, 100.0, log, QUICK | {"stale_s": 1.0}, clock=Kills())
        robot.close()
    finally:
        process.kill()
        process.communicate()
    assert result.fault
    assert result.reason.startswith(("stale", "write failed: ConnectionRefusedError"))
    assert len(Log.load(log)) == len(result.sent) >= 18


def test_kill_and_quit_by_datagram(folder: Path) -> None:
    server = Server(SimulatedRobot("cartpole"), 0, lockstep=True)
    with served(server):
        robot = connected(folder, server)
        robot._socket.send(packed(do=KILL))
        robot.stop()
        while not robot.read().fault:
            pass
        robot._socket.send(b"no datagram of ours")
        robot._socket.send(packed(do=QUIT))
        robot.close()
    assert json.loads(json.dumps(server.state()))["mode"] == "killed"
