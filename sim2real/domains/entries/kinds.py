"""The tables of kinds: imperfections in the order in which a signal passes them, disturbances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from sim2real.domains.entries import (
    delays,
    force,
    load_friction,
    push,
    residual,
    slope,
    speed_limits,
    stages,
    terrain,
)
from sim2real.domains.entries.disturbance import DisturbanceEntry
from sim2real.domains.entries.stage import Effect, Kind, Stage


def _table(*kinds: type[Kind]) -> dict[str, type[Kind]]:
    return {kind.name: kind for kind in kinds}


ACTUATION = _table(
    stages.Latency,
    stages.Repeat,
    stages.Dropped,
    stages.ZeroOrderHold,
    stages.Quantization,
    stages.Noise,
    stages.Saturation,
    stages.DeadZone,
    stages.RateLimit,
    stages.Lag,
    stages.Backlash,
    delays.CommandDelay,
    stages.Strength,
    speed_limits.NoLoadSpeed,
    load_friction.LoadFriction,
)
"""Between the policy's action and the actuators, in units of the control signal."""

SENSING = _table(
    delays.Delay,
    delays.Rate,
    stages.Scale,
    stages.Bias,
    stages.Drift,
    stages.Noise,
    stages.SensorSaturation,
    stages.Quantization,
    stages.Stuck,
    stages.Dropped,
    stages.ZeroOrderHold,
    delays.RewardDelay,
)
"""Between the state and the observation, in units of the observation term."""

DISTURBANCES = _table(
    push.Push,
    push.Twist,
    force.Force,
    force.Torque,
    slope.Slope,
    terrain.Bumps,
    residual.Residual,
)
"""Disturbances of bodies, joints and the floor."""


class Disturbance(DisturbanceEntry):
    """An entry of the section `disturbances`."""

    kinds: ClassVar[Mapping[str, type[Kind]]] = DISTURBANCES


_COMMANDS = (*ACTUATION, "jitter")
_NAMES = list(SENSING)
_CHANGING = [place for place, kind in enumerate(SENSING.values()) if not kind.keeps_length]
_FIRST, _END = _CHANGING[0], _CHANGING[-1] + 1
_READINGS = [
    *_NAMES[:_FIRST],
    "length",
    *_NAMES[_FIRST:_END],
    "unit",
    "sampled",
    *_NAMES[_END:],
]
"""A quaternion that was changed gets its length back, then a sensor holds the noisy reading of its
last sample, which may be lost in its turn."""


def commands_in_order(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    """Effects on a command, in the order in which it passes them."""
    return _in_order(effects, _COMMANDS, "backlash")


def readings_in_order(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    """Effects on an observation, in the order in which it passes them."""
    return _in_order(effects, _READINGS, "quantization")


def _in_order(effects: Sequence[Effect], order: Sequence[str], after: str) -> tuple[Effect, ...]:
    def place(effect: Effect) -> tuple[float, str]:
        stage: type[Stage] = effect.stage
        if stage.name in order:
            return order.index(stage.name), ""
        return order.index(stage.after or after) + 0.5, stage.name

    return tuple(sorted(effects, key=place))
