"""A robot behind ROS 2 topics, through rclpy, which comes with ROS 2.

| topic | message | content |
|---|---|---|
| `joint_states` | `sensor_msgs/JointState` | positions and velocities of the joints, by name |
| `imu` | `sensor_msgs/Imu` | `gyro`, and `gravity` by the orientation |
| the name of another input | `std_msgs/Float64MultiArray` | its numbers, in the contract's order |
| `commands` | `std_msgs/Float64MultiArray` | sent: one number for each actuator |
| `stop` | `std_msgs/Bool` | sent: true asks for the passive state |
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sim2real.deployment.names import POSITIONS, VELOCITIES
from sim2real.deployment.runner.interface import Array, Contract, Reading
from sim2real.errors import UserError

ANSWER_S = 5.0
"""How long a topic may be silent at the start."""
BODY = ("gyro", "gravity")
JOINTS = {POSITIONS: "position", VELOCITIES: "velocity"}


class RosRobot:
    """The newest messages of topics in a namespace, each with its stamp.

    The time of a reading is that of its oldest sensor: where one topic falls silent, the reading
    becomes stale. What the policy is told, and no sensor measures, keeps its last value. Raises
    UserError without rclpy, and if a topic is silent at the start.
    """

    def __init__(self, contract: Contract, namespace: str = "") -> None:
        self._rclpy, sensor, std = map(_of_ros, ("rclpy", "sensor_msgs.msg", "std_msgs.msg"))
        command = contract["action"]["command"]
        self._numbers = {
            one["name"]: list(one["numbers"])
            for one in contract["controller"]["inputs"]
            if "numbers" in one and one["name"] != command["steps_from"]
        }
        terms = contract["observation"]["terms"]
        self._told = {term["name"] for term in terms if term["commanded"]}
        self._values: dict[str, Array] = {}
        self._stamps: dict[str, float] = {}
        if not self._rclpy.ok():
            self._rclpy.init()
        self._node = self._rclpy.create_node("sim2real_run", namespace=namespace)
        self._message, self._bool = std.Float64MultiArray, std.Bool
        self._commands = self._node.create_publisher(std.Float64MultiArray, "commands", 1)
        self._stop = self._node.create_publisher(std.Bool, "stop", 1)
        self._topics = self._subscribe(sensor, std)
        self._wait()

    def _subscribe(self, sensor: Any, std: Any) -> int:
        """Listen to the topics; how many there are."""
        topics: dict[str, tuple[Any, Callable[[Any], None]]] = {}
        if self._numbers.keys() & JOINTS.keys():
            topics["joint_states"] = sensor.JointState, self._take_joints
        body = [name for name in BODY if len(self._numbers.get(name, ())) == 3]
        if body:
            topics["imu"] = sensor.Imu, lambda message: self._take_body(message, body)
        for name in self._numbers.keys() - {*JOINTS, *body}:
            topics[name] = std.Float64MultiArray, self._taker(name)
        for topic, (kind, take) in topics.items():
            self._node.create_subscription(kind, topic, take, 1)
        return len(topics)

    def _take_joints(self, message: Any) -> None:
        for name, field in JOINTS.items():
            given = dict(zip(message.name, getattr(message, field), strict=False))
            joints = self._numbers.get(name, [])
            if joints and all(joint in given for joint in joints):
                self._put(name, [given[joint] for joint in joints], _stamp(message))

    def _take_body(self, message: Any, names: list[str]) -> None:
        rate, turn = message.angular_velocity, message.orientation
        found = {"gyro": [rate.x, rate.y, rate.z], "gravity": down(turn.w, turn.x, turn.y, turn.z)}
        for name in names:
            self._put(name, found[name], _stamp(message))

    def _taker(self, name: str) -> Callable[[Any], None]:
        clock = self._node.get_clock()
        return lambda message: self._put(name, message.data, 1e-9 * clock.now().nanoseconds)

    def _put(self, name: str, values: Any, stamp: float) -> None:
        self._values[name] = np.array(values, dtype=np.float64)
        self._stamps[name] = stamp

    def _wait(self) -> None:
        until = time.monotonic() + ANSWER_S
        self._spin()
        while silent := sorted(self._numbers.keys() - self._values.keys()):
            if time.monotonic() > until:
                self.close()
                raise UserError(f"ros2: nothing came of {silent}; allowed: messages of all")
            self._spin()

    def _spin(self) -> None:
        for _ in range(self._topics):
            self._rclpy.spin_once(self._node, timeout_sec=0.0)

    def read(self) -> Reading:
        """The newest messages."""
        self._spin()
        stamps = [stamp for name, stamp in self._stamps.items() if name not in self._told]
        return Reading(min(stamps), dict(self._values))

    def write(self, commands: Array) -> None:
        """Publish commands."""
        self._commands.publish(self._message(data=commands.tolist()))

    def stop(self) -> None:
        """Publish the request for the passive state."""
        self._stop.publish(self._bool(data=True))

    def close(self) -> None:
        """End the node."""
        self._node.destroy_node()


def _of_ros(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(f"ros2 needs {package}, which comes with ROS 2: source its setup") from None


def down(w: float, x: float, y: float, z: float) -> list[float]:
    """The direction of gravity in the frame of a body with this orientation in the world.

    >>> down(1.0, 0.0, 0.0, 0.0)
    [-0.0, -0.0, -1.0]
    """
    return [-2 * (x * z - w * y), -2 * (y * z + w * x), -(1 - 2 * (x * x + y * y))]


def _stamp(message: Any) -> float:
    stamp = message.header.stamp
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)
