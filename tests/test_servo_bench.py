"""The example of a real servo: its logs are read, its world predicts them, its command runs."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

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


@pytest.mark.parametrize("family", ["family-directional", "mass", "gain-factor"])
def test_a_family_holds_what_is_known_and_what_is_not(family: str) -> None:
    names = family_of(load_task(str(BENCH / "servo.py")), family).names
    scale = "body_mass:pendulum" if family == "mass" else "strength:servo"
    assert {"kp:servo", "load_friction:servo", "load_friction_squared:servo", scale} <= set(names)


def test_the_mass_is_that_of_the_product_where_the_gains_have_a_factor() -> None:
    """Strength and limit are known in their ratio only poorly, in their product well."""
    bench = runpy.run_path(str(BENCH / "bench.py"))
    posterior = s2r.Domain(
        dynamics=[
            {"field": "actuator_forcerange", "scale": {"truncated_normal": [1.25, 0.2, 0.4, 2.5]}}
        ],
        actuation=[{"strength": {"truncated_normal": [0.784, 0.1254, 0.4, 2.5]}}],
        correlated=[
            {
                "parameters": ["actuator_forcerange:servo", "strength:servo"],
                "correlation": [[1.0, -0.999], [-0.999, 1.0]],
            }
        ],
    )
    rows = [
        SimpleNamespace(name=name, value=value, low=0.5, high=2.0)
        for name, value in (("strength:servo", 0.784), ("actuator_forcerange:servo", 1.25))
    ]
    value, low, high = bench["mass"](SimpleNamespace(table=rows, posterior=posterior))
    assert value == pytest.approx(0.5)  # 0.49 kg / 0.98
    assert 0.49 < low < 0.505 < high < 0.58  # alone, each factor is uncertain by 26 %


@pytest.mark.parametrize("known", [{}, {"kp:servo": 4.0}])
def test_a_log_that_the_nominal_world_misses_has_no_faults(known: dict[str, float]) -> None:
    """As fast as 57 times the angles are, any world predicts them: by their speed alone."""
    replay = Replay(family_of(load_task(str(BENCH / "servo.py")), "family"), 16, threads=1)
    file = BENCH / "xl330_pendulum_sin_sin_kp800_12.csv"
    log = at_control_step(s2r.Log.load(file, BENCH / "mapping.yaml"), replay).log
    assert faults(log, replay, known) == ()
    replay.close()


def test_the_error_is_that_of_an_independent_integration() -> None:
    """Of the whole log, with its own gain; semi-implicit Euler, dry friction as a limit."""
    bench = runpy.run_path(str(BENCH / "bench.py"))
    file = BENCH / "xl330_pendulum_up_and_down_kp100_02.csv"
    rows = np.genfromtxt(file, delimiter=",", names=True)
    torque, mass, dry, step = CONSTANT / RESISTANCE, 0.49, 0.01, 1e-3
    inertia = mass * 0.1**2 + 0.0018
    times = rows["time_s"][0] + 0.02 * np.arange(int(np.ptp(rows["time_s"]) / 0.02) + 1)
    goals, measured = (
        np.interp(times, rows["time_s"], rows[name]) for name in ("goal_rad", "position_rad")
    )
    angle, speed, errors = measured[0], 0.0, []
    for goal, read in zip(goals[:-1], measured[1:], strict=True):
        for _ in range(20):
            volt = np.clip(0.5 * GAIN * (goal - angle), -7.3, 7.3) - CONSTANT * speed
            free = speed + step / inertia * (torque * volt - mass * 9.81 * 0.1 * np.sin(angle))
            speed = np.sign(free) * max(abs(free) - step * dry / inertia, 0.0)
            angle += step * speed
        errors.append(abs(angle - read))
    assert bench["error"](s2r.Domain(), file) == pytest.approx(np.mean(errors), rel=0.05)


def test_the_table_tells_the_means_and_the_mass() -> None:
    bench = runpy.run_path(str(BENCH / "bench.py"))
    one = {
        "errors_mrad": {"up_kp100": 30.0, "up_kp800": 50.0},
        "mass_kg": [0.5, 0.4, 0.6],
        "unknowns": {"strength:servo": [0.98, 0.8, 1.2, "identified"]},
        "notes": ["a note"],
    }
    found = {
        "family": "family",
        "leave_out": "gain",
        "fit": one,
        "left_out": {"100": one | {"errors_mrad": {"up_kp100": 70.0}}},
    }
    lines = bench["table"](found).splitlines()
    assert "| up_kp100 | 30.0 | 70.0 |" in lines
    assert "| up_kp800 | 50.0 |  |" in lines
    assert "| mean | 40.0 | 70.0 |" in lines
    assert "| all but gain 100 | 0.500 | 0.400 to 0.600 |" in lines
    assert "- a note" in lines


def test_what_is_left_out_is_not_fitted() -> None:
    bench = runpy.run_path(str(BENCH / "bench.py"))
    left_out, fitted = bench["left_out"], []

    def identified(files: list[Path], family: str, seed: int) -> SimpleNamespace:
        fitted.append([file.stem for file in files])
        row = SimpleNamespace(
            name="strength:servo", value=1.0, low=0.5, high=2.0, status="identified"
        )
        return SimpleNamespace(
            domain=s2r.Domain(), table=[row], notes=["a note"], simulated_steps=1, seconds=1.0
        )

    left_out.__globals__["identified"] = identified
    files = sorted(BENCH.glob("*.csv"))
    found = dict(left_out(files, bench["kp_of"], "family"))
    assert list(found) == ["100", "800"]
    assert fitted == [["xl330_pendulum_sin_sin_kp800_12"], ["xl330_pendulum_up_and_down_kp100_02"]]
    assert list(found["100"]["errors_mrad"]) == ["up_and_down_kp100_02"]
    assert found["800"]["mass_kg"] == [0.49, 0.245, 0.98]


@pytest.mark.slow
def test_the_command_writes_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["bench.py", str(BENCH), "--out", str(tmp_path), "--family", "mass"]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(BENCH / "bench.py"), run_name="__main__")
    found = json.loads((tmp_path / "servo.json").read_text())
    assert found["fit"]["errors_mrad"].keys() == {"up_and_down_kp100_02", "sin_sin_kp800_12"}
    assert all(0.0 < error < 300.0 for error in found["fit"]["errors_mrad"].values())
    low, high = found["fit"]["mass_kg"][1:]
    assert 0 < low < high
    assert "| sin_sin_kp800_12 |" in (tmp_path / "servo.md").read_text()
