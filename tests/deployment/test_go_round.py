"""The tutorial that goes to a robot and back, with small numbers and the robot in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from toy_robot import FakeClock

from sim2real import cli
from sim2real.deployment.export import export
from sim2real.deployment.preflight import preflight
from sim2real.deployment.runner.run import run
from sim2real.deployment.simulated import SimulatedRobot
from sim2real.identification.compare import compare
from sim2real.identification.log import Log

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial-deploy.md"
BENCH = PAGE.read_text().split("```yaml\n")[1].split("```")[0]

SETTINGS = {"watchdog_s": 0, "positions": {"slider": [-9, 9]}}
"""With so short a training the cart may run into the end of its rail."""


@pytest.mark.slow
def test_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two exports drive an unknown robot; the log of the first tells what it does in the second.

    So short a training is undone by the verification at its end.
    """
    monkeypatch.chdir(tmp_path)
    Path("robot.yaml").write_text(BENCH)
    logs = {}
    for name, source in (("first", "pretrained:cartpole"), ("second", "adapted")):
        if name == "second":
            identify = ["identify", "first.parquet", "--task", "cartpole", "--out", "identified"]
            assert cli.main(identify) == 0
            domain = "identified/identified.yaml:identified"
            transfer = ["transfer", "pretrained:cartpole", "--domain", domain]
            sizes = ["--method", "retrain", "--budget", "4096", "--out", "adapted"]
            assert cli.main([*transfer, *sizes]) == 0
        export(source, name)
        failed = [one.name for one in preflight(name) if not one.passed]
        assert failed in ([], ["speed"])  # how fast a call is depends on what else runs here
        robot = SimulatedRobot("cartpole", "robot.yaml:bench")
        log = f"{name}.parquet"
        result = run(name, robot, 10.0, log, SETTINGS, clock=FakeClock())
        assert not result.fault
        logs[name] = Log.load(f"{name}.parquet")
        np.testing.assert_array_equal(logs[name].commands, result.sent)
    found = yaml.safe_load(Path("identified/identified.yaml").read_text())["identified"]
    (delay,) = [one["delay"] for one in found["actuation"] if "delay" in one]
    assert delay == pytest.approx(0.06, abs=0.005)
    worlds = ("identified/identified.yaml:identified", "nominal")
    same, other = (compare(logs["second"], "cartpole", world).errors for world in worlds)
    assert all(a.many_steps < 1e-2 * b.many_steps for a, b in zip(same, other, strict=True))
