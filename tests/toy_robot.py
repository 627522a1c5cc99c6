"""A robot of two servos, a controller known in closed form, and their contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sim2real.deployment.runner.interface import Array, Reading

DT = 0.02
JOINTS = ["hip", "knee"]
REST = np.array([0.2, -0.4])
SCALE = 0.5
"""Commands are REST + SCALE * action; an action is the velocity / -2, clipped to [-1, 1]."""


def contract() -> dict[str, Any]:
    """Of the terms position, velocity, gravity and last_action."""
    terms = [("position", 2, "rad"), ("velocity", 2, "rad/s"), ("gravity", 3, "")]
    firsts = {"position": 0, "velocity": 2, "gravity": 4}
    inputs = [
        {"name": "joints.position", "numbers": JOINTS},
        {"name": "joints.velocity", "numbers": JOINTS},
        {"name": "gravity", "numbers": ["gravity[0]", "gravity[1]", "gravity[2]"]},
        {"name": "state", "size": 2},
        {"name": "first", "size": 1},
    ]
    described = [
        {
            "name": name,
            "first": firsts[name],
            "size": size,
            "history": 1,
            "unit": unit,
            "commanded": False,
        }
        for name, size, unit in terms
    ]
    described.append(
        {"name": "last_action", "first": 7, "size": 2, "history": 1, "unit": "", "commanded": True}
    )
    command = {"offset": REST.tolist(), "scale": [SCALE] * 2, "steps_from": None}
    return {
        "format": "sim2real-policy/1",
        "control_dt": DT,
        "observation": {"size": 9, "terms": described},
        "action": {
            "size": 2,
            "names": ["hip_motor", "knee_motor"],
            "joints": JOINTS,
            "low": [-1.0, -1.0],
            "high": [1.0, 1.0],
            "command": {**command, "low": [-1.0, -1.0], "high": [1.0, 1.0]},
            "command_limits": [[-1.0, 1.0], [-0.6, 0.6]],
            "stiffness": [20.0, 20.0],
            "damping": [1.0, 1.0],
            "joint_limits": [[-1.0, 1.0], None],
        },
        "controller": {
            "inputs": inputs,
            "outputs": ["commands", "actions", "observation", "next_state"],
        },
    }


def controller() -> bytes:
    """Its ONNX file."""
    numbers = {"gain": -0.5, "low": -1.0, "high": 1.0, "scale": SCALE, "one": 1.0}
    constants = [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in (*numbers.items(), ("rest", REST))
    ]
    nodes = [
        helper.make_node("Mul", ["joints.velocity", "gain"], ["wanted"]),
        helper.make_node("Clip", ["wanted", "low", "high"], ["actions"]),
        helper.make_node("Mul", ["actions", "scale"], ["moved"]),
        helper.make_node("Add", ["moved", "rest"], ["commands"]),
        helper.make_node("Identity", ["actions"], ["next_state"]),
        helper.make_node("Sub", ["one", "first"], ["later"]),
        helper.make_node("Mul", ["state", "later"], ["last"]),
        helper.make_node(
            "Concat",
            ["joints.position", "joints.velocity", "gravity", "last"],
            ["observation"],
            axis=1,
        ),
    ]
    sizes = {"joints.position": 2, "joints.velocity": 2, "gravity": 3, "state": 2, "first": 1}
    outputs = {"commands": 2, "actions": 2, "observation": 9, "next_state": 2}
    inputs, given = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n]) for name, n in one.items()]
        for one in (sizes, outputs)
    )
    graph = helper.make_graph(nodes, "toy", inputs, given, constants)
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_exported(folder: Path) -> Path:
    """The folder of an exported policy."""
    return _write(folder, contract(), controller())


def _write(folder: Path, about: dict[str, Any], network: bytes) -> Path:
    folder.mkdir()
    files = {"controller.onnx": hashlib.sha256(network).hexdigest()}
    (folder / "contract.json").write_text(json.dumps(about | {"files": files}))
    (folder / "controller.onnx").write_bytes(network)
    return folder


@dataclass
class ToyRobot:
    """Its joints are where they were commanded. `before` is called with the number of each read."""

    position: Array = field(default_factory=lambda: np.array([0.8, 0.3]))
    velocity: Array = field(default_factory=lambda: np.zeros(2))
    gravity: Array = field(default_factory=lambda: np.array([0.0, 0.0, -1.0]))
    before: Callable[[ToyRobot, int], None] = lambda robot, count: None
    time: float = 0.0
    fault: str = ""
    passive: bool = True
    reads: int = 0
    written: list[Array] = field(default_factory=list)
    stops: int = 0

    def read(self) -> Reading:
        self.before(self, self.reads)
        self.reads += 1
        values = {
            "gravity": self.gravity,
            "joints.velocity": self.velocity,
            "joints.position": self.position,
        }
        return Reading(self.time, values, self.fault)

    def write(self, commands: Array) -> None:
        self.passive = False
        self.position = commands
        self.written.append(commands)
        self.time += DT

    def stop(self) -> None:
        self.passive = True
        self.stops += 1
        self.time += DT


class FakeClock:
    """Time passes by waiting alone; a wait may end `late` by so many s, by its number."""

    def __init__(self, late: dict[int, float] | None = None) -> None:
        self.time, self.waits, self.late = 100.0, 0, late or {}

    def now(self) -> float:
        return self.time

    def wait_until(self, due: float) -> None:
        self.time = max(self.time, due) + self.late.get(self.waits, 0.0)
        self.waits += 1


MY_ROBOT = """
from sim2real.deployment.runner.interface import Reading

class MyRobot:
    def __init__(self, contract):
        self.positions = [0.0 for _ in contract["action"]["joints"]]
        self.time = 0.0

    def read(self):
        values = {"joints.position": self.positions, "joints.velocity": [0.0, 0.0]}
        return Reading(self.time, {**values, "gravity": [0.0, 0.0, -1.0]})

    def write(self, commands):
        self.positions, self.time = commands.tolist(), self.time + 0.02

    def stop(self):
        self.time += 0.02
"""
"""The file of a robot that is where it was commanded."""


def write_linear(folder: Path, gains: Array) -> Path:
    """The folder of a controller of the cartpole: its command is `gains` times the readings."""
    inputs = {
        "joints.position": ["slider"],
        "joints.velocity": ["slider", "hinge"],
        "pole": ["pole[0]", "pole[1]"],
    }
    terms = [("cart", 0, 1, "m"), ("pole", 3, 2, ""), ("velocity", 1, 2, "")]
    about = contract()
    about["observation"]["terms"] = [
        {"name": name, "first": at, "size": size, "history": 1, "unit": unit, "commanded": False}
        for name, at, size, unit in terms
    ]
    about["action"] |= {
        "size": 1,
        "names": ["drive"],
        "joints": ["slider"],
        "low": [-1.0],
        "high": [1.0],
        "command": {"offset": [0.0], "scale": [1.0], "low": [-1.0], "high": [1.0]},
        "command_limits": [[-1.0, 1.0]],
        "stiffness": [0.0],
        "damping": [0.0],
        "joint_limits": [None],
    }
    about["action"]["command"]["steps_from"] = None
    about["controller"] = {
        "inputs": [{"name": name, "numbers": numbers} for name, numbers in inputs.items()],
        "outputs": ["commands", "observation"],
    }
    constants = [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in (("gains", gains[:, None]), ("low", -1.0), ("high", 1.0))
    ]
    nodes = [
        helper.make_node("Concat", [*inputs], ["observation"], axis=1),
        helper.make_node("MatMul", ["observation", "gains"], ["wanted"]),
        helper.make_node("Clip", ["wanted", "low", "high"], ["commands"]),
    ]
    given, found = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n]) for name, n in one.items()]
        for one in ({k: len(v) for k, v in inputs.items()}, {"commands": 1, "observation": 5})
    )
    graph = helper.make_graph(nodes, "linear", given, found, constants)
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    return _write(folder, about, model.SerializeToString())
