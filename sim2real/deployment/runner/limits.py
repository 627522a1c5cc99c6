"""The limits of what is sent, and the faults of what is read: pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim2real.deployment.runner.interface import Array, Contract
from sim2real.deployment.runner.policy import Inputs
from sim2real.deployment.runner.settings import Settings, is_servo


@dataclass(frozen=True)
class Servos:
    """Which actuators are position servos, and their gains; (nu,) each."""

    joints: tuple[str, ...]
    present: Array
    stiffness: Array
    damping: Array

    @classmethod
    def of(cls, contract: Contract) -> Servos:
        """Those of a contract."""
        action = contract["action"]
        return cls(
            tuple(action["joints"]),
            np.array(is_servo(contract)),
            np.array(action["stiffness"]),
            np.array(action["damping"]),
        )

    def values(self, by_joint: Mapping[str, float]) -> Array:
        """Of the joint of each actuator, (nu,); 0 where nothing is known."""
        return np.array([by_joint.get(joint, 0.0) for joint in self.joints])


def limited(
    asked: Array, before: Array, position: Array, velocity: Array, servos: Servos, limit: Settings
) -> Array:
    """What may be sent of the commands that are `asked`, after those `before`; (nu,) each.

    A command is clipped to its range; that of a servo to what its torque allows,
    |stiffness (command - position) - damping velocity| <= torque; then its change to the largest
    step.
    """
    found = np.clip(asked, limit.low, limit.high)
    torque = np.array(limit.torque)
    rows = servos.present & np.isfinite(torque)
    if rows.any():
        stiffness = np.where(rows, servos.stiffness, 1.0)
        middle = position + servos.damping * velocity / stiffness
        reach = np.where(rows, torque, 0.0) / stiffness
        found = np.where(rows, np.clip(found, middle - reach, middle + reach), found)
    step = np.array(limit.step)
    return np.clip(found, before - step, before + step)


def not_finite(inputs: Inputs) -> str:
    """The fault of numbers that are not finite, or ""."""
    for name, values in inputs.items():
        if not np.isfinite(values).all():
            return f"{name} is not finite"
    return ""


def beyond(
    positions: Mapping[str, float],
    velocities: Mapping[str, float],
    limit: Settings,
) -> str:
    """The fault of joints beyond its limits, or ""."""
    for joint, (low, high) in limit.positions.items():
        if joint in positions and not low <= positions[joint] <= high:
            given = f"{joint} is at {positions[joint]:.4g}"
            return f"{given}; allowed: {low:.4g} to {high:.4g}"
    for joint, most in limit.velocities.items():
        if abs(velocities.get(joint, 0.0)) > most:
            return f"{joint} moves at {velocities[joint]:.4g}; allowed: {most:.4g}"
    return ""


def tilt(gravity: Array) -> float:
    """The angle in rad between upright and a body that sees gravity in this direction, (3,).

    >>> round(tilt(np.array([0.0, 0.0, -9.81])), 3), round(tilt(np.array([1.0, 0.0, 0.0])), 3)
    (0.0, 1.571)
    """
    return math.atan2(math.hypot(gravity[0], gravity[1]), -float(gravity[2]))
