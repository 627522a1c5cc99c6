"""The example of a real servo: its logs are read, its world predicts them, its command runs."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import sim2real as s2r

BENCH = Path(__file__).resolve().parents[1] / "examples" / "servo_bench"
MOTOR = 0.11  # N m/V, k / R


def test_the_model_is_the_motor_equation() -> None:
    """Torque = k / R (duty 7.4 V) - k^2 / R speed, with the duty 0.00255 kp error within 0.885."""
    simulation = s2r.Simulation(str(BENCH / "servo.py"), threads=1)
    for goal in (0.5, 3.0):
        simulation.write_state([[0.2]], [[1.5]])
        simulation.ctrl[:] = goal
        simulation.derive(np.arange(1))
        duty = min(0.00255 * 200 * (goal - 0.2), 0.885)
        assert simulation.qfrc_actuator[0, 0] == pytest.approx(MOTOR * 7.4 * duty, rel=2e-3)
        assert simulation.qfrc_passive[0, 0] == pytest.approx(-MOTOR * 0.25 * 1.5, rel=2e-3)
        gravity = 0.49 * 9.81 * 0.1 * np.sin(0.2)
        assert simulation.qfrc_bias[0, 0] == pytest.approx(gravity, rel=1e-3)
    simulation.close()


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
