"""What a robot's side says of itself against the contract of an exported policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sim2real.checks import CheckSkipped, require
from sim2real.deployment.first_step import BEYOND, Ask, first_commands, unusual_commands
from sim2real.deployment.names import POSITIONS, VELOCITIES
from sim2real.errors import listed

if TYPE_CHECKING:  # needs pydantic
    from sim2real.deployment.robot_contract import RobotContract, RobotJoint

SHARE = 0.1
"""Share of the control step by which it may be early or late, or slower than in training."""
MOST = 4
"""Faults that a message names."""
_SCALE = {"rad": 1.0, "m": 1.0, "deg": np.pi / 180, "mm": 1e-3}


@dataclass(frozen=True)
class Agreed:
    """What both sides say, and the controller."""

    robot: RobotContract
    contract: dict[str, Any]
    controller: Ask

    @property
    def numbers(self) -> dict[str, list[str]]:
        """The names of the numbers that the controller is given, by input."""
        inputs = self.contract["controller"]["inputs"]
        return {one["name"]: one["numbers"] for one in inputs if "numbers" in one}

    @property
    def joints(self) -> dict[str, RobotJoint]:
        """Those of the robot by name."""
        return {joint.name: joint for joint in self.robot.joints}

    def moved(self) -> Iterator[tuple[int, RobotJoint]]:
        """Each actuator that moves a joint of the robot, by its place."""
        for place, name in enumerate(self.contract["action"]["joints"]):
            if name in self.joints:
                yield place, self.joints[name]

    def unit(self, joint: RobotJoint) -> str:
        """In which the policy expects this joint of the robot, rad or m."""
        action = self.contract["action"]
        kinds = dict(zip(action["joints"], action["joint_kinds"], strict=True))
        own = "hinge" if joint.unit in ("rad", "deg") else "slide"
        return "rad" if kinds.get(joint.name, own) == "hinge" else "m"

    @property
    def are_positions(self) -> bool:
        """Whether every command is the target of a joint."""
        action = self.contract["action"]
        return all(
            name and kp for name, kp in zip(action["joints"], action["stiffness"], strict=True)
        )


def _order(given: Agreed) -> None:
    robot, action = [joint.name for joint in given.robot.joints], given.contract["action"]
    wanted = [("commands", [name for name in action["joints"] if name])]
    wanted += [(name, given.numbers.get(name, [])) for name in (POSITIONS, VELOCITIES)]
    for what, names in wanted:
        absent = [name for name in names if name not in robot]
        require(not absent, f"the robot has no {listed(absent, MOST)}, needed for {what}")
        own = [name for name in robot if name in names]
        require(
            own == names,
            f"the robot's joints are {listed(own, MOST)}; the order of {what} is "
            f"{listed(names, MOST)}",
        )
    actuators = given.robot.actuators
    require(
        actuators is None or list(actuators) == action["names"],
        f"the robot's actuators are {listed(actuators or (), MOST)}; the policy commands "
        f"{listed(action['names'], MOST)}",
    )


def _units(given: Agreed) -> None:
    wrong = [
        f"{joint.name} is in {joint.unit}; the policy expects {given.unit(joint)}"
        for joint in given.robot.joints
        if joint.unit != given.unit(joint)
    ]
    terms = {term["name"]: term for term in given.contract["observation"]["terms"]}
    for name, own in given.robot.observations.items():
        unit = terms.get(name, {}).get("unit", "")
        if own.unit and unit and own.unit != unit:
            wrong.append(f"{name} is in {own.unit}; the policy expects {unit}")
    require(not wrong, "; ".join(wrong[:MOST]))


def _signs(given: Agreed) -> None:
    wrong = [
        f"{joint.name} is reversed: multiply its readings and commands by -1"
        for joint in given.robot.joints
        if joint.sign == -1
    ]
    wrong += [
        f"{joint.name} is shifted by {joint.offset:g} {joint.unit}: add it to the readings, "
        "subtract it from the commands"
        for joint in given.robot.joints
        if joint.offset
    ]
    require(not wrong, "; ".join(wrong[:MOST]))


def _observations(given: Agreed) -> None:
    terms = {term["name"]: term for term in given.contract["observation"]["terms"]}
    own = given.robot.observations
    wrong = [
        f"{name} is missing"
        for name in given.numbers
        if name not in (POSITIONS, VELOCITIES, *own) and not terms[name]["commanded"]
    ]
    for name, one in own.items():
        term = terms.get(name)
        if term is None:
            wrong.append(f"{name} is nothing that the policy observes")
            continue
        if one.size not in (None, len(term["columns"])):
            wrong.append(
                f"{name} has {one.size} numbers, the policy expects {len(term['columns'])}"
            )
        if one.frame and term["frame"] and one.frame != term["frame"]:
            wrong.append(f"{name} is in the {one.frame} frame; the policy expects {term['frame']}")
    require(not wrong, "; ".join(wrong[:MOST]))


def _rate(given: Agreed) -> None:
    low, high = given.contract["control_dt_range"]
    own, dt = given.robot.control_dt, given.contract["control_dt"]
    require(
        low * (1 - 1e-3) <= own <= high * (1 + 1e-3),
        f"the robot's control step is {1e3 * own:g} ms; the policy's {1e3 * dt:g} ms",
    )
    room = max(own - low, high - own, 0.0) + SHARE * dt
    require(
        given.robot.jitter_s <= room,
        f"a jitter of {1e3 * given.robot.jitter_s:g} ms; allowed: {1e3 * room:.3g} ms",
    )


def _latency(given: Agreed) -> None:
    if given.robot.latency_s is None:
        raise CheckSkipped("the robot's contract has no latency_s")
    low, high = trained_latency(given.contract)
    room = SHARE * given.contract["control_dt"]
    least, most = given.robot.latency_s
    require(
        low - room <= least and most <= high + room,
        f"the robot's latency is {1e3 * least:.3g} to {1e3 * most:.3g} ms; the policy was trained "
        f"with {1e3 * low:.3g} to {1e3 * high:.3g} ms; train with it",
    )


def trained_latency(contract: dict[str, Any]) -> tuple[float, float]:
    """The shortest and longest delay in training from a reading to the effect of its command, s."""
    parts = [term for term in contract["observation"]["terms"] if not term["commanded"]]
    action = contract["action"]
    low = min((term["shortest_delay_s"] for term in parts), default=0.0)
    high = max((term["longest_delay_s"] for term in parts), default=0.0)
    return low + action["shortest_delay_s"], high + action["longest_delay_s"]


def _limits(given: Agreed) -> None:
    action, usual = given.contract["action"], given.contract["statistics"]["commands"]
    wrong = []
    for place, joint in given.moved():
        if given.are_positions and joint.limits is not None:
            low, high = (_SCALE[joint.unit] * one for one in joint.limits)
            least, most = usual["low"][place], usual["high"][place]
            slack = 1e-3 * (high - low)
            if least < low - slack or most > high + slack:
                wrong.append(
                    f"{joint.name} is commanded {least:.3g} to {most:.3g} in training; the robot "
                    f"allows {low:.3g} to {high:.3g}"
                )
        force = action["force_limits"][place]
        if joint.force is not None and force is not None and max(force) > 1.01 * joint.force:
            wrong.append(
                f"{joint.name} had {max(force):.3g} in training; the robot gives {joint.force:.3g}"
            )
    wrong += _too_fast(given)
    require(not wrong, "; ".join(wrong[:MOST]))


def _too_fast(given: Agreed) -> Iterator[str]:
    usual = given.contract["statistics"]["observations"]
    for term in given.contract["observation"]["terms"]:
        for k, one in enumerate(term["joints"]):
            joint = given.joints.get(one["joint"]) if one else None
            name = f"{term['name']}[{k}]"
            if joint is None or joint.velocity is None or one["quantity"] != "velocity":
                continue
            if name in usual["names"]:
                place = usual["names"].index(name)
                ends = np.array([usual["low"][place], usual["high"][place]]) - one["offset"]
                fastest = float(np.abs(ends / one["scale"]).max())
                if fastest > (allowed := _SCALE[joint.unit] * joint.velocity):
                    yield (
                        f"{joint.name} moves at up to {fastest:.3g} in training; the robot allows "
                        f"{allowed:.3g}"
                    )


def _rest(given: Agreed) -> None:
    observed = dict(_rest_pose(given))
    if not observed:
        raise CheckSkipped("the robot's contract has no rest pose")
    usual = given.contract["statistics"]["observations"]
    ranges = dict(zip(usual["names"], zip(usual["low"], usual["high"], strict=True), strict=True))
    wrong = []
    for name, value in observed.items():
        low, high = ranges.get(name, (value, value))
        room = BEYOND * (high - low) + 1e-3
        if not low - room <= value <= high + room:
            wrong.append(f"{name} is {value:.3g} at rest, in training {low:.3g} to {high:.3g}")
    commands = first_commands(given.controller, given.contract, observed)
    wrong += [] if commands is None else unusual_commands(commands, given.contract)
    require(not wrong, "; ".join(wrong[:MOST]))


def _rest_pose(given: Agreed) -> Iterator[tuple[str, float]]:
    """What the policy observes where the robot rests: "position[1]", and its number."""
    for term in given.contract["observation"]["terms"]:
        own = given.robot.observations.get(term["name"])
        if own is not None and own.rest is not None:
            size = len(term["columns"])
            require(len(own.rest) == size, f"rest of {term['name']}: expected {size} numbers")
            yield from ((f"{term['name']}[{k}]", one) for k, one in enumerate(own.rest))
        for k, one in enumerate(term["joints"]):
            joint = given.joints.get(one["joint"]) if one else None
            if joint is not None and joint.rest is not None:
                place = _SCALE[joint.unit] * (joint.offset + joint.sign * joint.rest)
                at = place if one["quantity"] == "position" else 0.0
                yield f"{term['name']}[{k}]", one["offset"] + one["scale"] * at


ROBOT_CHECKS: dict[str, Callable[[Agreed], None]] = {
    "robot: order": _order,
    "robot: units": _units,
    "robot: signs and offsets": _signs,
    "robot: observations": _observations,
    "robot: rate": _rate,
    "robot: latency": _latency,
    "robot: limits": _limits,
    "robot: first commands": _rest,
}
"""What of a robot's contract is compared, by name."""
