"""Parquet files and LeRobot datasets are logs; what is damaged or too large is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.identification.formats import parquet
from sim2real.identification.log import Log

arrow = pytest.importorskip("pyarrow")
from pyarrow.parquet import write_table  # noqa: E402

MAPPING: dict[str, Any] = {
    "time": {"column": "stamp", "unit": "ns"},
    "commands": {"hip": "action[0]", "knee": "action[1]"},
    "observations": {"position": {"column": "q", "unit": "deg"}, "touch": "touch"},
}


def columns(rows: int = 4) -> dict[str, Any]:
    return {
        "stamp": arrow.array(10**18 + 20_000_000 * np.arange(rows), arrow.timestamp("ns")),
        "action": [[float(k), -float(k)] for k in range(rows)],
        "q": arrow.array([[90.0, 180.0]] * rows, arrow.list_(arrow.float32(), 2)),
        "touch": [k % 2 == 0 for k in range(rows)],
        "note": ["walk"] * rows,
    }


def written(folder: Path, **changed: Any) -> Path:
    path = folder / "run.parquet"
    write_table(arrow.table(columns() | changed), path)
    return path


def test_columns_and_lists(tmp_path: Path) -> None:
    log = Log.load(written(tmp_path), MAPPING)
    assert log.times == pytest.approx(0.02 * np.arange(4), abs=1e-6)
    assert log.commands.tolist() == [[float(k), -float(k)] for k in range(4)]
    assert log.observations["position"] == pytest.approx(np.tile([np.pi / 2, np.pi], (4, 1)))
    assert log.observations["touch"][:, 0].tolist() == [1.0, 0.0, 1.0, 0.0]


def test_missing_numbers_are_found(tmp_path: Path) -> None:
    path = written(tmp_path, touch=[1.0, None, 1.0, 1.0])
    with pytest.raises(UserError, match=r"'touch' has no number in 1 rows, the first is row 2"):
        Log.load(path, MAPPING)


@pytest.mark.parametrize(
    ("changed", "asked", "message"),
    [
        ({}, {"observations": {"p": "note"}}, "column 'note' holds string; allowed: numbers"),
        ({}, {"time": "stam"}, "unknown column 'stam'; did you mean 'stamp'"),
        ({"action": [[0.0, 1.0]] * 3 + [[0.0]]}, {}, "the lists of column 'action' differ"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, changed: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Log.load(written(tmp_path, **changed), MAPPING | asked)


def test_damaged_and_large_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(parquet, "MOST_BYTES", 50)
    with pytest.raises(UserError, match="bytes; allowed: 50 in memory"):
        Log.load(path, MAPPING)
    monkeypatch.undo()
    whole = path.read_bytes()
    for data in (b"", whole[:100], b"PAR1" + b"x" * 100 + b"PAR1", whole[:-20] + whole[-12:]):
        path.write_bytes(data)
        with pytest.raises(UserError, match="is no Parquet file"):
            Log.load(path, MAPPING)


def test_without_pyarrow_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UserError, match=r"Parquet needs .* pip install 'sim2real\[logs\]'"):
        Log.load(path, MAPPING)


def dataset(folder: Path, names: Any = ("elbow.pos", "wrist.pos")) -> Path:
    """Two files of version 3; episode 1 is in both."""
    features = {
        "action": {"dtype": "float32", "shape": [2], "names": list(names) if names else None},
        "observation.state": {"dtype": "float32", "shape": [2], "names": {"motors": ["a", "b"]}},
        "observation.images.top": {"dtype": "video", "shape": [480, 640, 3], "names": ["h", "w"]},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    }
    (folder / "meta").mkdir(parents=True)
    about = {"codebase_version": "v3.0", "fps": 50, "features": features}
    (folder / "meta" / "info.json").write_text(json.dumps(about))
    episode, place = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 2])
    (folder / "data" / "chunk-000").mkdir(parents=True)
    for number, rows in enumerate((slice(0, 4), slice(4, 6))):
        table = {
            "action": [[float(k), 10.0 + k] for k in range(6)][rows],
            "observation.state": [[float(k), 20.0 + k] for k in range(6)][rows],
            "timestamp": arrow.array(place[rows] / 50, arrow.float32()),
            "episode_index": episode[rows],
            "frame_index": place[rows],
        }
        write_table(
            arrow.table(table), folder / "data" / "chunk-000" / f"file-{number:03d}.parquet"
        )
    return folder


def test_a_lerobot_dataset_is_read_without_a_mapping(tmp_path: Path) -> None:
    log = Log.load(dataset(tmp_path / "set"))
    assert log.actuators == ("elbow.pos", "wrist.pos")
    assert log.starts.tolist() == [0, 3]
    assert log.times[:3] == pytest.approx([0.0, 0.02, 0.04])
    assert log.observations["state"].tolist() == [[float(k), 20.0 + k] for k in range(6)]
    assert log.commands[:, 1].tolist() == [10.0 + k for k in range(6)]
    assert log.control_dt == pytest.approx(0.02)
    assert Log.load(dataset(tmp_path / "plain", names=None)).actuators == ("0", "1")


def test_a_lerobot_dataset_with_a_mapping(tmp_path: Path) -> None:
    mapping = {
        "time": "timestamp",
        "episode": "episode_index",
        "commands": {"wrist": {"column": "action[wrist.pos]", "unit": "deg"}},
        "observations": {"position": {"columns": ["observation.state[b]"], "unit": "deg"}},
    }
    log = Log.load(dataset(tmp_path / "set"), mapping)
    assert log.commands[:, 0] == pytest.approx(np.radians(10.0 + np.arange(6)))
    assert log.observations["position"][:, 0] == pytest.approx(np.radians(20.0 + np.arange(6)))
    with pytest.raises(UserError, match=r"unknown column 'action\[c\]'"):
        Log.load(tmp_path / "set", mapping | {"commands": {"c": "action[c]"}})


def test_damaged_datasets_are_refused(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "set")
    (folder / "data" / "chunk-000" / "file-002.parquet").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="is a symbolic link out of"):
        Log.load(folder)
    (folder / "meta" / "info.json").write_text('{"features": [1]}')
    with pytest.raises(UserError, match="has no features by name"):
        Log.load(folder)
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="has no known format"):
        Log.load(tmp_path / "other")
