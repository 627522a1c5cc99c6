"""The example of a real servo: its logs are read, its world predicts them, its command runs."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sim2real as s2r
from sim2real.identification.family import family_of
from sim2real.identification.hypotheses import faults
from sim2real.identification.replay import Replay
from sim2real.identification.windows import at_control_step
from sim2real.registry import load_task

BENCH = Path(__file__).resolve().parents[1] / "examples" / "servo_bench"
CONSTANT, RESISTANCE = 5.0 / (103 * 2 * np.pi / 60), 5.0 / 1.47  # of the data sheet
GAIN = 2.546 * 200 / 885 * 7.3  # V/rad


@pytest.fixture
def simulation() -> Iterator[s2r.Simulation]:
    found = s2r.Simulation(str(BENCH / "servo.py"), threads=1)
    yield found
    found.close()


def test_the_model_is_the_motor_equation(simulation: s2r.Simulation) -> None:
    """Torque = k / R u - k^2 / R speed, with the voltage u of the firmware, which is limited."""
    for goal, speed in ((0.5, 1.5), (1.0, -1.5), (3.0, 0.0)):
        simulation.write_state([[0.2]], [[speed]])
        simulation.ctrl[:] = goal
        simulation.derive(np.arange(1))
        volt = min(GAIN * (goal - 0.2), 7.3) - CONSTANT * speed
        torque = CONSTANT / RESISTANCE * volt
        assert simulation.qfrc_actuator[0, 0] == pytest.approx(torque, rel=0.01)
        assert simulation.qfrc_passive[0, 0] == 0.0
        gravity = 0.49 * 9.81 * 0.1 * np.sin(0.2)
        assert simulation.qfrc_bias[0, 0] == pytest.approx(gravity, rel=1e-3)


def test_dry_friction_does_not_creep(simulation: s2r.Simulation) -> None:
    """The rod stays where its weight and the servo pull with 60 % of the dry friction."""
    load = GAIN * CONSTANT / RESISTANCE + 0.49 * 9.81 * 0.1  # N m/rad
    angle = 0.6 * simulation.model.dof_frictionloss[0] / load
    simulation.write_state([[angle]], [[0.0]])
    for _ in range(100):  # 2 s
        simulation.advance(np.zeros((1, 1)), np.ones(1, dtype=bool))
    assert simulation.qpos[0, 0] == pytest.approx(angle, rel=0.02)


@pytest.mark.parametrize("family", ["family-squared-load", "mass"])
def test_a_family_holds_what_is_known_and_what_is_not(family: str) -> None:
    names = family_of(load_task(str(BENCH / "servo.py")), family).names
    scale = "body_mass:pendulum" if family == "mass" else "strength:servo"
    assert {"kp:servo", "load_friction:servo", "load_friction_squared:servo", scale} <= set(names)


@pytest.mark.parametrize("known", [{}, {"kp:servo": 4.0}])
def test_a_log_that_the_nominal_world_misses_has_no_faults(known: dict[str, float]) -> None:
    """As fast as 57 times the angles are, any world predicts them: by their speed alone."""
    replay = Replay(family_of(load_task(str(BENCH / "servo.py")), "family"), 16, threads=1)
    file = BENCH / "xl330_pendulum_sin_sin_kp800_12.csv"
    log = at_control_step(s2r.Log.load(file, BENCH / "mapping.yaml"), replay).log
    assert faults(log, replay, known) == ()
    replay.close()


@pytest.mark.slow
def test_the_command_writes_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["bench.py", str(BENCH), "--out", str(tmp_path), "--family", "mass"]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(BENCH / "bench.py"), run_name="__main__")
    found = json.loads((tmp_path / "servo.json").read_text())
    assert found["fit"].keys() == {"up_and_down_kp100_02", "sin_sin_kp800_12"}
    assert all(0.0 < error < 300.0 for error in found["fit"].values())  # mrad
    assert found["mass_kg"] > 0
    assert "| sin_sin_kp800_12 |" in (tmp_path / "servo.md").read_text()
