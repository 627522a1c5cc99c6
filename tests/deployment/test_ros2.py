"""The ROS 2 adapter, against stubs of rclpy and of the message packages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from toy_robot import contract

from sim2real.deployment.runner import ros2
from sim2real.deployment.runner.ros2 import RosRobot, down
from sim2real.errors import UserError

Message = SimpleNamespace


class Bus:
    """What rclpy does here: topics by name, callbacks that wait to be spun."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Any]] = []
        self.callbacks: dict[str, Callable[[Any], None]] = {}
        self.sent: dict[str, list[Any]] = {}
        self.namespace = ""
        self.ns = 0
        self.closed = False

    def create_node(self, name: str, namespace: str) -> Bus:
        self.namespace = namespace
        return self

    def create_publisher(self, kind: Any, topic: str, depth: int) -> Any:
        found = self.sent.setdefault(topic, [])
        return SimpleNamespace(publish=found.append)

    def create_subscription(
        self, kind: Any, topic: str, take: Callable[[Any], None], depth: int
    ) -> None:
        self.callbacks[topic] = take

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.ns))

    def spin_once(self, node: Bus, timeout_sec: float) -> None:
        if self.waiting:
            topic, message = self.waiting.pop(0)
            self.callbacks[topic](message)

    def destroy_node(self) -> None:
        self.closed = True


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    bus = Bus()
    kinds = ("JointState", "Imu", "Float64MultiArray", "Bool")
    modules: dict[str, dict[str, Any]] = {
        "rclpy": {"ok": lambda: True, **{n: getattr(bus, n) for n in ("create_node", "spin_once")}},
        "sensor_msgs": {},
        "sensor_msgs.msg": dict.fromkeys(kinds[:2], Message),
        "std_msgs": {},
        "std_msgs.msg": dict.fromkeys(kinds[2:], Message),
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    return bus


def header(seconds: float) -> Message:
    return Message(stamp=Message(sec=int(seconds), nanosec=round(1e9 * (seconds % 1))))


def joints(seconds: float) -> tuple[str, Message]:
    """In another order, with a joint that the policy does not know."""
    return "joint_states", Message(
        header=header(seconds),
        name=["wheel", "knee", "hip"],
        position=[9.0, 0.2, 0.1],
        velocity=[9.0, 2.0, 1.0],
    )


def imu(seconds: float, rotation: Rotation) -> tuple[str, Message]:
    x, y, z, w = rotation.as_quat()
    turn = Message(x=x, y=y, z=z, w=w)
    rate = Message(x=0.1, y=0.2, z=0.3)
    return "imu", Message(header=header(seconds), orientation=turn, angular_velocity=rate)


TURNED = Rotation.from_euler("xyz", [0.3, -0.8, 2.0])


def test_a_reading(bus: Bus) -> None:
    bus.waiting = [joints(10.25), imu(10.5, TURNED)]
    reading = RosRobot(contract(), "/my_robot").read()
    assert bus.namespace == "/my_robot"
    assert reading.time == 10.25  # of the older one
    np.testing.assert_array_equal(reading.values["joints.position"], [0.1, 0.2])
    np.testing.assert_array_equal(reading.values["joints.velocity"], [1.0, 2.0])
    np.testing.assert_allclose(reading.values["gravity"], TURNED.inv().apply([0, 0, -1]))


def test_gravity_of_random_orientations() -> None:
    for rotation in Rotation.random(20, rng=np.random.default_rng(0)):
        x, y, z, w = rotation.as_quat()
        np.testing.assert_allclose(down(w, x, y, z), rotation.inv().apply([0, 0, -1]), atol=1e-12)


def test_a_silent_topic_makes_the_reading_stale(bus: Bus) -> None:
    bus.waiting = [joints(10.0), imu(10.0, TURNED)]
    robot = RosRobot(contract())
    bus.waiting = [imu(11.0, TURNED)]
    assert robot.read().time == 10.0
    bus.waiting = [joints(11.5)]
    assert robot.read().time == 11.0


def test_what_is_told_keeps_its_value(bus: Bus) -> None:
    asked = contract()
    asked["controller"]["inputs"].append({"name": "command", "numbers": ["command"]})
    term = {"name": "command", "first": 9, "size": 1, "history": 1, "unit": "", "commanded": True}
    asked["observation"]["terms"].append(term)
    bus.ns = 3_000_000_000
    bus.waiting = [joints(10.0), imu(10.0, TURNED), ("command", Message(data=[0.7]))]
    robot = RosRobot(asked)
    bus.waiting = [joints(20.0), imu(20.0, TURNED)]
    reading = robot.read()
    assert (reading.time, reading.values["command"]) == (20.0, [0.7])


def test_commands_and_stop(bus: Bus) -> None:
    bus.waiting = [joints(10.0), imu(10.0, TURNED)]
    robot = RosRobot(contract())
    robot.write(np.array([0.5, -0.5]))
    robot.stop()
    assert [message.data for message in bus.sent["commands"]] == [[0.5, -0.5]]
    assert [message.data for message in bus.sent["stop"]] == [True]


def test_topics_that_are_silent_at_the_start(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros2, "ANSWER_S", 0.0)
    bus.waiting = [joints(10.0)]
    with pytest.raises(UserError, match="nothing came of \\['gravity'\\]"):
        RosRobot(contract())
    assert bus.closed


def test_without_ros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy", None)
    with pytest.raises(UserError, match="ros2 needs rclpy, which comes with ROS 2"):
        RosRobot(contract())
