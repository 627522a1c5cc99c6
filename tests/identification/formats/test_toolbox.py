"""Trajectories of MuJoCo's own toolbox are logs, as the toolbox writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.identification.formats import toolbox
from sim2real.identification.log import Log

MODEL = """
<mujoco><worldbody><body><joint name="hinge" axis="0 1 0"/><geom size="0.1"/></body></worldbody>
<actuator><motor name="drive" joint="hinge"/></actuator>
<sensor><jointpos name="angle" joint="hinge"/><jointvel name="rate" joint="hinge"/></sensor>
</mujoco>
"""


def arrays(**changed: Any) -> dict[str, Any]:
    times = 0.01 * np.arange(6)
    whole = {
        "control_times": 0.02 * np.arange(3),
        "control_data": np.array([[1.0], [2.0], [3.0]]),
        "sensordata_times": times,
        "sensordata_data": np.stack([times, 2 * times], axis=1),
        "initial_state": np.zeros(2),
    }
    return whole | changed


def written(folder: Path, **changed: Any) -> Path:
    path = folder / "run.npz"
    np.savez(path, **arrays(**changed))
    return path


NAMES = {
    "control_signal_mapping": np.asarray(json.dumps({"drive_ctrl": [5, [0]]})),
    "sensordata_signal_mapping": np.asarray(json.dumps({"angle": [0, [0]], "rate": [0, [1]]})),
}


def check(path: Path) -> None:
    log = Log.load(path)
    assert log.actuators == ("drive",)
    assert log.commands[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert log.observations["angle"][:, 0] == pytest.approx(0.01 * np.arange(6))
    assert log.observations["rate"][:, 0] == pytest.approx(0.02 * np.arange(6))
    mapping = {
        "time": "time",
        "commands": {"m": "drive_ctrl"},
        "observations": {"both": {"columns": ["angle", "sensordata[1]"], "unit": "deg"}},
    }
    both = Log.load(path, mapping).observations["both"]
    assert both[-1] == pytest.approx(np.radians([0.05, 0.1]))


def test_controls_are_held_and_signals_have_names(tmp_path: Path) -> None:
    check(written(tmp_path, **NAMES))


def test_the_toolbox_writes_what_is_read(tmp_path: Path) -> None:
    sysid = pytest.importorskip("mujoco.sysid")
    if not hasattr(sysid, "SystemTrajectory"):
        pytest.skip("the packages of mujoco[sysid] are not installed")
    model = mujoco.MjModel.from_xml_string(MODEL)
    series, given = sysid.TimeSeries, arrays()
    names = (series.compute_all_control_mapping, series.compute_all_sensor_mapping)
    control, sensors = (
        series(given[f"{name}_times"], given[f"{name}_data"], named(model))
        for name, named in zip(("control", "sensordata"), names, strict=True)
    )
    trajectory = sysid.SystemTrajectory(model, control, sensors, given["initial_state"], None)
    trajectory.save_to_disk(tmp_path / "run.npz")
    check(tmp_path / "run.npz")


def test_signals_without_names(tmp_path: Path) -> None:
    log = Log.load(written(tmp_path))
    assert log.actuators == ("control[0]",)
    assert list(log.observations) == ["sensordata[0]", "sensordata[1]"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"control_data": np.array([{}, {}, {}], dtype=object)}, "is no .npz of numbers"),
        ({"control_data": np.zeros(3)}, "no controls or no sensors"),
        ({"sensordata_data": np.zeros((5, 2))}, r"sensordata_data \(5, 2\); allowed"),
        ({"control_signal_mapping": np.asarray("{")}, "signal mapping of control is damaged"),
        ({"control_signal_mapping": np.asarray('{"a": [0, [7]]}')}, "control is damaged"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Log.load(written(tmp_path, **changed))
    assert "\n" not in str(caught.value)


def test_damaged_and_large_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(toolbox, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="bytes in memory; allowed: 100"):
        Log.load(path)
    monkeypatch.undo()
    whole = path.read_bytes()
    flags = whole.index(b"PK\x01\x02") + 8  # of the first member
    patched = whole[:flags] + b"\x20" + whole[flags + 1 :]
    for data in (b"", b"PK", whole[:200], patched):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"is no \.npz of numbers"):
            Log.load(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(UserError, match="has no controls or no sensors"):
        Log.load(path)
