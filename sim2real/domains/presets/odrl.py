"""Shifts of the off-dynamics RL benchmark (Lyu et al. 2024, arXiv:2410.20750), of any size.

The benchmark has a model file for each shift and level; here a shift is a function of a number, and
the published levels are some of its values. Friction and gravity are multiplied. In the benchmark
the friction of the robot alone is changed, and where it falls below that of the floor nothing
happens, since MuJoCo takes the larger of the two: here the floor is changed with the robot.
Kinematic shifts scale the range of a joint, morphological ones the size of a part.

Two models are followed in their lengths but not in every detail: the benchmark also turns the
thighs and shins of the half-cheetah by up to 10 degrees where it shortens them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sim2real.errors import UserError
from sim2real.task import Task

Parameters = list[dict[str, Any]]
Shift = Callable[[float], Parameters]

FACTORS = (0.1, 0.5, 2.0, 5.0)
"""Published levels of friction and gravity."""
WORDS = ("easy", "medium", "hard")
"""Published levels of the other shifts."""
_SHORTER = (0.8, 0.5, 0.2)


def _friction(factor: float) -> Parameters:
    sliding = {"field": "geom_friction", "component": "sliding", "shared": True}
    return [{**sliding, "scale": factor}]


def _gravity(factor: float) -> Parameters:
    return [{"field": "opt.gravity", "component": "z", "scale": factor}]


def _range(*joints: str) -> Shift:
    """The range of joints that can stand at 0, scaled."""
    return lambda factor: [
        {"field": "jnt_range", "of": list(joints), "scale": factor, "shared": True}
    ]


def _ankles(factor: float) -> Parameters:
    """The ant's ankles go from 30 degrees to 30 + 40 `factor`."""
    far = math.radians(30.0 + 40.0 * factor)
    return [
        _set("jnt_range", ["ankle_1", "ankle_4"], "upper", far),
        _set("jnt_range", ["ankle_2", "ankle_3"], "lower", -far),
    ]


def _length(*bodies: str) -> Shift:
    return lambda factor: [
        {"field": "link_length", "of": list(bodies), "scale": factor, "shared": True}
    ]


def _foot(factor: float) -> Parameters:
    """The hopper's foot, scaled about its joint, which lies 0.065 m behind its middle."""
    return [
        _set("geom_size", ["foot_geom"], "radius", 0.06 * factor),
        _set("geom_size", ["foot_geom"], "half_length", 0.195 * factor),
        _set("geom_pos", ["foot_geom"], "x", -0.13 + 0.065 * factor),
    ]


def _upright_torso(factor: float) -> Parameters:
    """A torso `factor` times as thick and 0.8 `factor` times as long, on the same hip."""
    half = 0.2 * 0.8 * factor
    return [
        _set("geom_size", ["torso_geom"], "radius", 0.05 * factor),
        _set("geom_size", ["torso_geom"], "half_length", half),
        _set("geom_pos", ["torso_geom"], "z", half - 0.2),
    ]


def _knees(factor: float) -> Parameters:
    """Legs of the same length with a thigh of 0.45 m times `factor`: the knees sit lower."""
    lower = 0.45 * (factor - 1.0)
    return [
        parameter
        for side in ("", "_left")
        for parameter in (
            _set("geom_size", [f"thigh{side}_geom"], "half_length", 0.225 + lower / 2),
            _set("geom_pos", [f"thigh{side}_geom"], "z", -0.225 - lower / 2),
            _set("jnt_pos", [f"leg{side}_joint"], "z", 0.25 - lower),
            _set("geom_size", [f"leg{side}_geom"], "half_length", 0.25 - lower / 2),
            _set("geom_pos", [f"leg{side}_geom"], "z", -lower / 2),
        )
    ]


def _lying_torso(factor: float) -> Parameters:
    """The cheetah's back, `factor` times 1 m long, with its head and its hips at its ends."""
    half = 0.5 * factor
    return [
        _set("geom_size", ["torso"], "half_length", half),
        _set("geom_pos", ["head"], "x", 0.1 + half),
        _set("body_pos", ["bthigh"], "x", -half),
        _set("body_pos", ["fthigh"], "x", half),
    ]


def _thighs(factor: float) -> Parameters:
    """The cheetah's thighs, scaled; its shins are 0.634 (back) and 0.767 times as long."""
    return [
        *_length("bthigh", "fthigh")(factor),
        {"field": "link_length", "of": "bshin", "scale": 0.634, "name": "back shin"},
        {"field": "link_length", "of": "fshin", "scale": 0.767, "name": "front shin"},
    ]


def _set(field: str, of: Sequence[str], component: str, value: float) -> dict[str, Any]:
    name = f"{field}.{component}:{of[0]}"
    parameter = {"field": field, "of": list(of), "component": component, "set": value}
    return {**parameter, "shared": True, "name": name}


_FACTORED: dict[str, Shift] = {"friction": _friction, "gravity": _gravity}
"""Shifts that every task of the benchmark has."""
_SHIFTS: dict[str, dict[str, tuple[Shift, tuple[float, float, float]]]] = {
    "ant": {
        "kinematic-hipjnt": (_range("hip_1", "hip_2", "hip_3", "hip_4"), _SHORTER),
        "kinematic-anklejnt": (_ankles, _SHORTER),
        "morph-halflegs": (_length("#4", "#7"), _SHORTER),
        "morph-alllegs": (_length("#4", "#7", "#10", "#13"), _SHORTER),
    },
    "half_cheetah": {
        "kinematic-footjnt": (_range("bfoot", "ffoot"), _SHORTER),
        "kinematic-thighjnt": (_range("bthigh", "fthigh"), _SHORTER),
        "morph-thigh": (_thighs, (0.5, 0.38, 0.16)),
        "morph-torso": (_lying_torso, _SHORTER),
    },
    "hopper": {
        "kinematic-footjnt": (_range("foot_joint"), _SHORTER),
        "kinematic-legjnt": (_range("leg_joint"), _SHORTER),
        "morph-foot": (_foot, (0.8, 0.6, 0.4)),
        "morph-torso": (_upright_torso, (1.5, 2.0, 2.5)),
    },
    "walker2d": {
        "kinematic-footjnt": (_range("foot_joint", "foot_left_joint"), _SHORTER),
        "kinematic-thighjnt": (_range("thigh_joint", "thigh_left_joint"), _SHORTER),
        "morph-leg": (_knees, (0.55 / 0.45, 0.70 / 0.45, 0.85 / 0.45)),
        "morph-torso": (_upright_torso, (1.5, 2.0, 2.5)),
    },
}
"""Task -> shift -> how it is made, and the numbers of the published levels."""


def names(task: Task) -> list[str]:
    """The published shifts of a task at their levels; none where the benchmark does not have it."""
    if task.name not in _SHIFTS:
        return []
    factors = [f"{kind}-{factor:g}" for kind in _FACTORED for factor in FACTORS]
    return factors + [f"{shift}-{word}" for shift in _SHIFTS[task.name] for word in WORDS]


def build(task: Task, name: str) -> dict[str, Any]:
    """The plain data of a shift, "KIND-LEVEL" with a word or a number for the level.

    Raises KeyError where the task does not have it, UserError for a level that makes no sense.
    """
    kind, _, level = name.rpartition("-")
    own = _SHIFTS[task.name]
    words: dict[str, float] = {}
    if kind in _FACTORED:
        shift = _FACTORED[kind]
    else:
        shift, numbers = own[kind]
        words = dict(zip(WORDS, numbers, strict=True))
    factor = words[level] if level in words else _number(name, level)
    what = kind.replace("-", " ")
    return {
        "about": f"The {what} shift of the off-dynamics RL benchmark, at the level {level}.",
        "dynamics": shift(factor),
    }


def _number(name: str, level: str) -> float:
    try:
        factor = float(level)
    except ValueError:
        raise KeyError(name) from None
    if not (factor > 0 and math.isfinite(factor)):
        raise UserError(f"odrl:{name}: the level must be greater than 0, got {level}")
    return factor
