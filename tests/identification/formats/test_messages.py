"""Topics of MCAP files and ROS 2 bags become one log, at the times of one of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.identification.formats import messages
from sim2real.identification.log import Log

mcap = pytest.importorskip("mcap.writer")
rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")

START = 1_700_000_000_000_000_000
MAPPING: dict[str, Any] = {
    "time": "/joint_states",
    "commands": {"hip": "/goal.data[0]", "knee": "/goal.data[1]"},
    "observations": {
        "position": ["/joint_states.position[hip]", "/joint_states.position[knee]"],
        "gyro": "/imu.rate",
    },
}


def ns(seconds: float) -> int:
    return START + round(seconds * 1e9)


def sent(gyro: Any = None) -> list[tuple[str, float, dict[str, Any]]]:
    """Joint states every 10 ms whose order changes, goals every 20 ms, a slower gyro."""
    found: list[tuple[str, float, dict[str, Any]]] = []
    for k in range(10):
        names, values = ["hip", "knee"], [0.1 * k, -0.1 * k]
        order = [1, 0] if k % 2 else [0, 1]
        data = {"name": [names[i] for i in order], "position": [values[i] for i in order]}
        found.append(("/joint_states", 0.01 * k, data))
    found += [("/goal", 0.005 + 0.02 * k, {"data": [float(k), 10.0 + k]}) for k in range(6)]
    found += [("/imu", 0.03 * k, {"rate": gyro or {"a": 1}["a"] * 0.3 * k}) for k in range(5)]
    return sorted(found, key=lambda one: one[1])


def written(folder: Path, given: list[tuple[str, float, dict[str, Any]]], **options: Any) -> Path:
    path = folder / "run.mcap"
    with path.open("wb") as file:
        writer = mcap.Writer(file)
        writer.start()
        schema = writer.register_schema("plain", "jsonschema", b"{}")
        encoding = options.get("encoding", "json")
        channels = {
            topic: writer.register_channel(topic, encoding, schema)
            for topic in dict.fromkeys(topic for topic, _, _ in given)
        }
        for topic, time, data in given:
            text = json.dumps(data).encode()
            writer.add_message(channels[topic], ns(time), text, ns(time))
        writer.finish()
    return path


def check(log: Log) -> None:
    """Rows begin with the first goal, at 5 ms."""
    k = np.arange(1, 10)
    assert log.times == pytest.approx(0.01 * (k - 1))
    position = np.stack([0.1 * k, -0.1 * k], axis=1)
    assert log.observations["position"] == pytest.approx(position)
    assert log.commands[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert log.commands[:, 1].tolist() == [10, 10, 11, 11, 12, 12, 13, 13, 14]
    assert log.observations["gyro"][:, 0] == pytest.approx(0.1 * k)


def test_json_in_mcap(tmp_path: Path) -> None:
    check(Log.load(written(tmp_path, sent()), MAPPING))


def bag(path: Path, plugin: Any) -> Path:
    """The same in a ROS 2 bag; the stamps are 1 s before the recording."""
    store = typesys.get_typestore(typesys.Stores.LATEST)
    types = store.types
    header = types["std_msgs/msg/Header"]
    stamp = types["builtin_interfaces/msg/Time"]
    kinds = {
        "/joint_states": "sensor_msgs/msg/JointState",
        "/goal": "std_msgs/msg/Float64MultiArray",
        "/imu": "std_msgs/msg/Float64",
    }
    layout = types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    none = np.zeros(0)
    with rosbag2.Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=store)
            for topic, kind in kinds.items()
        }
        for topic, time, data in sent():
            seconds, rest = divmod(ns(time) - 10**9, 10**9)
            made = {
                "/joint_states": lambda d, at: types[kinds["/joint_states"]](
                    header=header(stamp=at, frame_id=""),
                    name=d["name"],
                    position=np.array(d["position"]),
                    velocity=none,
                    effort=none,
                ),
                "/goal": lambda d, at: types[kinds["/goal"]](layout, np.array(d["data"])),
                "/imu": lambda d, at: types[kinds["/imu"]](d["rate"]),
            }[topic](data, stamp(seconds, rest))
            raw = store.serialize_cdr(made, kinds[topic])
            writer.write(connections[topic], ns(time), raw)
    return path


@pytest.mark.parametrize("plugin", ["SQLITE3", "MCAP"])
def test_ros_2_bags(tmp_path: Path, plugin: str) -> None:
    path = bag(tmp_path / "bag", getattr(rosbag2.StoragePlugin, plugin))
    observations = MAPPING["observations"] | {"gyro": "/imu.data"}
    mapping = MAPPING | {"observations": observations}
    check(Log.load(path, mapping))
    (file,) = [one for one in path.iterdir() if one.suffix in (".db3", ".mcap")]
    check(Log.load(file, mapping))
    stamped = mapping | {
        "time": "/joint_states.header.stamp",
        "observations": {"position": "/joint_states.position"},
        "commands": {"hip": "/joint_states.position[0]"},
    }
    assert Log.load(path, stamped).times == pytest.approx(0.01 * np.arange(10))


def test_numbers_are_needed(tmp_path: Path) -> None:
    path = written(tmp_path, sent())

    def asked(**changed: Any) -> None:
        Log.load(path, MAPPING | changed)

    with pytest.raises(UserError, match="unknown topic '/joint_state'; did you mean '/joint_sta"):
        asked(time="/joint_state")
    for column in (
        ".name",
        ".speed",
        ".position[toe]",
        ".position[7]",
        ".position.__class__",
        "..a",
    ):
        with pytest.raises(UserError, match=r"has no numbers at '\..*'; it has name, position"):
            asked(observations={"p": f"/joint_states{column}"})


def test_what_is_wrong_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="encoded as 'protobuf'; allowed: json, cdr"):
        Log.load(written(tmp_path, sent(), encoding="protobuf"), MAPPING)
    with pytest.raises(UserError, match=r"messages of type plain are not read; allowed: JSON, and"):
        Log.load(written(tmp_path, sent(), encoding="cdr"), MAPPING)
    one = [message for message in sent() if message[0] != "/imu" or message[1] == 0]
    with pytest.raises(UserError, match="topic '/imu' has 1 messages; allowed: 2"):
        Log.load(written(tmp_path, one), MAPPING)
    path = written(tmp_path, sent())
    whole = path.read_bytes()
    monkeypatch.setattr(messages, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="has a chunk of"):
        Log.load(path, MAPPING)
    monkeypatch.undo()
    for data in (b"", b"no file", whole[:60]):
        path.write_bytes(data)
        with pytest.raises(UserError, match="is no MCAP file, or it is damaged") as caught:
            Log.load(path, MAPPING)
        assert "\n" not in str(caught.value)
    broken = tmp_path / "a.db3"
    broken.write_bytes(b"SQLite format 3\0" + b"x" * 100)
    with pytest.raises(UserError, match="is no ROS 2 bag, or it is damaged"):
        Log.load(broken, MAPPING)


def test_without_a_package_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, sent())
    monkeypatch.setitem(sys.modules, "mcap.reader", None)
    with pytest.raises(UserError, match=r"MCAP needs the package mcap: .* 'sim2real\[logs\]'"):
        Log.load(path, MAPPING)
