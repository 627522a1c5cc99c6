"""Limits and times of a run on a robot; their defaults come from the contract."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim2real.deployment.names import POSITIONS, VELOCITIES
from sim2real.deployment.runner.interface import Contract
from sim2real.errors import UserError, brief, unknown
from sim2real.extras import needed

MARGIN = 0.1
"""Share of a joint's range by which a reading may be beyond it: joints rest at their stops."""
ROUNDING = 1.001
"""Of the largest step: commands are float32."""
MOST_FILE = 2**20


@dataclass(frozen=True)
class Settings:
    """What the runner sends at most, and when it stops.

    Numbers of actuators stand in the order of `action.names` of the contract, (nu,):

    - `rest`: commands of the pose in which the robot stands up; None: where the joint is then
    - `low`, `high`: limits of a command
    - `step`: largest change of a command in a control step
    - `torque`: largest torque of a position servo, stiffness (command - position) - damping speed

    By joint: `positions`, the range of a reading, and `velocities`, its largest speed. `tilt` is
    the largest angle in rad between the robot and upright; the reading `gravity` shows it, the
    direction of gravity in the frame of the robot. In s: `passive_s` before the robot stands up,
    `stand_s` until it stands, `soft_s` in which the commands of the policy fade in, `stale_s` after
    which an unchanged reading is stale, `watchdog_s` after which a control step hangs; 0: no
    watchdog. `missed` is how many periods in a row may pass without a command.
    """

    rest: tuple[float | None, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    step: tuple[float, ...]
    torque: tuple[float, ...]
    positions: Mapping[str, tuple[float, float]]
    velocities: Mapping[str, float]
    tilt: float
    gravity: str
    passive_s: float
    stand_s: float
    soft_s: float
    stale_s: float
    missed: int
    watchdog_s: float

    def __post_init__(self) -> None:
        for name, low, high in (
            *((f"low and high of actuator {k}", *pair) for k, pair in enumerate(self._ranges)),
            *((f"positions of {joint}", *pair) for joint, pair in self.positions.items()),
        ):
            if not low <= high:
                raise UserError(f"{name} are {low:g} and {high:g}; allowed: the lower one first")

    @property
    def _ranges(self) -> list[tuple[float, float]]:
        return list(zip(self.low, self.high, strict=True))


def is_servo(contract: Contract) -> tuple[bool, ...]:
    """Which actuators move a joint to the position that is commanded and that a reading shows."""
    shown = _joints(contract, POSITIONS)
    action = contract["action"]
    pairs = zip(action["joints"], action["stiffness"], strict=True)
    return tuple(joint in shown and kp > 0 for joint, kp in pairs)


def default_settings(contract: Contract) -> Settings:
    """Those of a contract: limits of commands and joints, and what the policy can ask for."""
    action = contract["action"]
    command = action["command"]
    scale, dt = np.abs(command["scale"]), float(contract["control_dt"])
    space = np.array([action["low"], action["high"]])
    stepping = command["steps_from"] is not None
    reach = np.abs(space).max(axis=0) if stepping else np.ptp(space, axis=0)
    stands = all(is_servo(contract))
    limits = np.array(action["command_limits"])
    size, shown = int(action["size"]), _joints(contract, POSITIONS)
    return Settings(
        rest=(None,) * size if stepping else tuple(command["offset"]),
        low=tuple(np.maximum(command["low"], limits[:, 0]).tolist()),
        high=tuple(np.minimum(command["high"], limits[:, 1]).tolist()),
        step=tuple((ROUNDING * scale * reach).tolist()),
        torque=(math.inf,) * size,
        positions={
            joint: _widened(*limit)
            for joint, limit in zip(action["joints"], action["joint_limits"], strict=True)
            if limit is not None and joint in shown
        },
        velocities={},
        tilt=1.0 if _size(contract, "gravity") == 3 else math.inf,
        gravity="gravity",
        passive_s=0.5 if stands else 0.0,
        stand_s=2.0 if stands else 0.0,
        soft_s=0.5 if stands else 0.0,
        stale_s=max(5 * dt, 0.05),
        missed=5,
        watchdog_s=max(10 * dt, 0.25),
    )


def settings_for(contract: Contract, changes: Mapping[str, Any] | None = None) -> Settings:
    """The default settings with `changes`, plain data by name.

    A number for actuators or for joints holds for all of them, or they are given by name. Raises
    UserError for an unknown name, and for what is no number or beyond what is possible.
    """
    default = default_settings(contract)
    names = [field.name for field in fields(Settings)]
    for name in changes or {}:
        if name not in names:
            raise unknown("setting", name, names)
    read = _readers(contract, default)
    return replace(default, **{name: read[name](value) for name, value in (changes or {}).items()})


def read_changes(path: Path) -> dict[str, Any]:
    """The settings of a file of JSON, or of YAML where PyYAML is installed."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_FILE).decode()
        if path.suffix == ".json":
            found = json.loads(text)
        else:
            yaml = needed("yaml", f"{path.name}, as YAML,", "export")
            found = yaml.safe_load(text)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{str(path)[:200]} cannot be read: {error.strerror}") from None
    except Exception as error:  # PyYAML's errors are no ValueError
        raise UserError(f"{str(path)[:200]} cannot be read: {brief(str(error))}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} has no settings by name")
    return found


def _readers(contract: Contract, default: Settings) -> dict[str, Callable[[Any], Any]]:
    """What checks and completes each setting."""
    actuators = contract["action"]["names"]
    joints = {q: _joints(contract, q) for q in (POSITIONS, VELOCITIES)}

    def each(name: str, least: float) -> Callable[[Any], tuple[float, ...]]:
        before = dict(zip(actuators, getattr(default, name), strict=True))
        return lambda given: tuple(
            _by_name(name, given, actuators, before, lambda one: _number(name, one, least)).values()
        )

    def of_joints(name: str, quantity: str, one: Callable[[Any], Any]) -> Callable[[Any], Any]:
        before = getattr(default, name)
        return lambda given: _by_name(name, given, joints[quantity], before, one)

    def number(name: str) -> Callable[[Any], float]:
        return lambda given: _number(name, given, 0.0)

    def gravity(given: Any) -> str:
        if _size(contract, given) != 3:
            raise UserError(f"gravity is {brief(given)}; allowed: a reading of three numbers")
        return str(given)

    return {
        **{name: each(name, -math.inf) for name in ("rest", "low", "high")},
        **{name: each(name, 0.0) for name in ("step", "torque")},
        "positions": of_joints("positions", POSITIONS, _pair),
        "velocities": of_joints("velocities", VELOCITIES, number("velocities")),
        **{
            name: number(name)
            for name in ("tilt", "passive_s", "stand_s", "soft_s", "stale_s", "watchdog_s")
        },
        "gravity": gravity,
        "missed": lambda given: int(_number("missed", given, 0.0)),
    }


def _by_name(
    name: str,
    given: Any,
    allowed: list[str],
    before: Mapping[str, Any],
    read: Callable[[Any], Any],
) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        given = dict.fromkeys(allowed, given)
    for key in given:
        if key not in allowed:
            raise unknown(name, key, allowed)
    return {**before, **{key: read(value) for key, value in given.items()}}


def _number(name: str, given: Any, least: float) -> float:
    right = isinstance(given, int | float) and not isinstance(given, bool)
    if not right or not math.isfinite(given) or given < least:
        limit = "" if least == -math.inf else f", {least:g} or more"
        raise UserError(f"{name} is {brief(given)}; allowed: a number{limit}")
    return float(given)


def _pair(given: Any) -> tuple[float, float]:
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise UserError(f"positions are {brief(given)}; allowed: two numbers for each joint")
    low, high = (_number("positions", one, -math.inf) for one in given)
    return low, high


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = MARGIN * (high - low)
    return low - margin, high + margin


def _joints(contract: Contract, quantity: str) -> list[str]:
    inputs = contract["controller"]["inputs"]
    return next((list(one["numbers"]) for one in inputs if one["name"] == quantity), [])


def _size(contract: Contract, name: Any) -> int:
    inputs = contract["controller"]["inputs"]
    return next((len(one.get("numbers", ())) for one in inputs if one["name"] == name), 0)
