"""The recovery study: what it compares, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sim2real import files
from sim2real.benchmark.recovery import RecoveryConfig, compared, recovery, sensor_noise
from sim2real.benchmark.recovery_report import summary
from sim2real.registry import load_task

TRUTH = {"mass": 2.0, "damping": 0.5, "strength": 1.0, "delay": 0.0}


def found(together: tuple[str, ...] = (), **values: float) -> Any:
    rows = [
        SimpleNamespace(
            name=name,
            value=values.get(name, true),
            low=values.get(name, true) - 0.1,
            high=values.get(name, true) + 0.1,
            status="no effect" if name == "delay" else "identified",
        )
        for name, true in TRUTH.items()
    ]
    return SimpleNamespace(table=rows, together=together)


def test_errors_are_relative_to_the_truth() -> None:
    rows = {row["name"]: row for row in compared(found(mass=2.2, damping=0.55), TRUTH)}
    assert rows["mass"]["relative"] == pytest.approx(0.1)
    assert rows["mass"]["proportion"] is None
    assert not rows["mass"]["inside"]
    assert rows["damping"]["inside"]
    assert rows["delay"]["relative"] is None


def test_a_common_factor_is_no_error_where_the_log_shows_proportions_only() -> None:
    three = ("mass", "damping", "strength")
    rows = {
        row["name"]: row
        for row in compared(found(three, mass=3.0, damping=0.75, strength=1.65), TRUTH)
    }
    assert rows["mass"]["relative"] == pytest.approx(0.5)
    assert [rows[name]["proportion"] for name in three] == pytest.approx([0.0, 0.0, 0.1])
    assert rows["delay"]["proportion"] is None


def result(error: float) -> dict[str, Any]:
    rows = list(compared(found(mass=2.0 + 2.0 * error), TRUTH))
    return {
        "seconds": 10.0,
        "cpu_seconds": 12.0,
        "load": 1.0,
        "simulated_steps": 5,
        "explained": True,
        "unknowns": rows,
    }


def test_the_summary_has_quantiles_and_coverage(tmp_path: Path) -> None:
    errors = [0.0, 0.01, 0.02, 0.2]
    for number, error in enumerate(errors):
        files.write_json(tmp_path / "hopper" / f"{number:02d}.json", {"500": result(error)})
    one = summary(tmp_path)["hopper"]["500"]
    assert one["unknowns"]["mass"]["error"] == pytest.approx(np.quantile(errors, [0.5, 0.9]))
    assert one["unknowns"]["mass"]["inside"] == 3
    assert one["coverage"] == pytest.approx(11 / 12, abs=1e-3)
    assert "delay" not in one["unknowns"]


def test_it_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def identified(family: Any, steps: int, number: int, config: Any) -> dict[str, Any]:
        done.append((family.task.name, steps, number))
        if len(done) == 3:
            raise KeyboardInterrupt
        return result(0.01)

    monkeypatch.setattr("sim2real.benchmark.recovery.one_target", identified)
    config = RecoveryConfig(("cartpole", "furuta"), 2, (500, 600), out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        list(recovery(config))
    assert files.read_json(tmp_path / "summary.json")["cartpole"]["600"]["targets"] == 1
    assert len(list(recovery(config))) == 6
    assert done[2] == done[3] == ("furuta", 500, 0)
    assert len(set(done)) == 8
    assert list(recovery(config)) == []
    text = (tmp_path / "report.md").read_text()
    assert "| 500 | 2 | 2 | 0.00% | 1.00% | 100% of 6 | 10 | 12 |" in text
    assert "| mass | 2 | 1.00% | 1.00% | 1.00% | 1.00% | 2 of 2 |" in text


def test_what_is_measured_per_second_is_noisier() -> None:
    assert sensor_noise(load_task("hopper")) == {"position": 0.005, "velocity": 0.05}
    assert sensor_noise(load_task("furuta"))["velocity"] == 0.05
