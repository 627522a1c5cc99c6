"""The one table of imperfections of a signal: what each is, in which unit, and what it may be.

The order of a table is the order in which the signal passes the imperfections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim2real.domains.distributions.distribution import Distribution, Normal, Uniform


@dataclass(frozen=True)
class Kind:
    """One imperfection.

    Its magnitude is drawn once an `episode`, or its value anew each control `step`. `low` and
    `high` are the magnitudes that make sense (`open_low`: and `low` itself does not); `identity` is
    the one without effect. `each` tells what has a draw of its own where none is shared: a whole
    element (an actuator, an observation term) or each `number` of it. `sign` and `unit` word it;
    `random` is what is drawn besides in each control step.
    """

    name: str
    unit: str = ""
    sign: str = ""
    low: float = -np.inf
    high: float = np.inf
    open_low: bool = False
    identity: float | None = 0.0
    drawn: Literal["episode", "step"] = "episode"
    each: Literal["element", "number"] = "element"
    whole: bool = False
    shared: bool = False
    random: Distribution | None = None


def _table(*kinds: Kind) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


def _lapse(name: str) -> Kind:
    return Kind(name, "a step", low=0.0, high=1.0, random=Uniform(0.0, 1.0))


ACTUATION = _table(
    Kind("latency", "s", low=0.0, shared=True),
    Kind("repeat", "control steps", low=1.0, identity=1.0, whole=True, shared=True),
    _lapse("dropped"),
    _lapse("held"),
    Kind("quantization", low=0.0),
    Kind("noise", sign="+", drawn="step"),
    Kind("saturation", "of the control range", low=0.0, high=1.0, identity=1.0),
    Kind("dead_zone", low=0.0),
    Kind("rate_limit", "a second", low=0.0, open_low=True, identity=None),
    Kind("lag", "s", low=0.0),
    Kind("backlash", low=0.0),
    Kind("delay", "s", low=0.0, shared=True),
    Kind("strength", sign="×", low=0.0, identity=1.0),
    Kind("no_load_speed", "rad/s or m/s", low=0.0, open_low=True, identity=None),
)
"""Between the policy's action and the actuators, in units of the control signal."""

SENSING = _table(
    Kind("delay", "s", low=0.0),
    Kind("rate", "Hz", low=0.0, open_low=True, identity=None),
    Kind("scale", sign="×", identity=1.0, each="number"),
    Kind("bias", sign="+", each="number"),
    Kind("drift", "a square root of a second", low=0.0, random=Normal(0.0, 1.0)),
    Kind("noise", sign="+", drawn="step"),
    Kind("saturation", low=0.0, open_low=True, identity=None),
    Kind("quantization", low=0.0),
    _lapse("stuck"),
    _lapse("dropped"),
    _lapse("held"),
    Kind("reward_delay", "s", low=0.0, shared=True),
)
"""Between the state and the observation, in units of the observation term."""

CHANGES_NUMBERS = ("scale", "bias", "drift", "noise", "saturation", "quantization")
"""Kinds of `SENSING` after which a quaternion has another length."""
LENGTH, UNIT = "length", "unit"
"""What keeps its length before these, and what gives it back: effects that no domain names."""
