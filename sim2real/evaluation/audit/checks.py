"""Conditions for every drawn model: finite, physical, and with its constants up to date."""

from __future__ import annotations

import copy
import functools
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.simulation.warnings import warnings_logged

NOT_NEGATIVE = (
    "body_mass",
    "body_inertia",
    "geom_friction",
    "geom_size",
    "dof_damping",
    "dof_armature",
    "dof_frictionloss",
    "tendon_damping",
    "tendon_frictionloss",
)
TOLERANCE = 1e-9
"""Relative difference from which on a derived constant is stale."""


@functools.cache
def array_names() -> tuple[str, ...]:
    """The names of MjModel's arrays of real numbers, with those of its options as "opt.x"."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    names = [name for name in dir(model) if not name.startswith("_")]
    found = [name for name in names if isinstance(getattr(model, name), np.ndarray)]
    options = [name for name in dir(model.opt) if not name.startswith("_")]
    kinds = (float, int, np.ndarray)
    found += [f"opt.{name}" for name in options if isinstance(getattr(model.opt, name), kinds)]
    return tuple(found)


def array(model: mujoco.MjModel, name: str) -> NDArray[Any]:
    """An array of the model by the name that `array_names` gives it."""
    if name.startswith("opt."):
        return np.asarray(getattr(model.opt, name.removeprefix("opt.")))
    return np.asarray(getattr(model, name))


def differing(one: mujoco.MjModel, other: mujoco.MjModel, tolerance: float = 0.0) -> list[str]:
    """The arrays in which two models differ by more than `tolerance`, relative to the largest."""
    return [
        name
        for name in array_names()
        if not _close(array(one, name), array(other, name), tolerance)
    ]


def _close(one: NDArray[Any], other: NDArray[Any], tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    if one.tobytes() == other.tobytes():  # most are, and it is quick to see
        return True
    if np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
        return True
    if not tolerance or one.dtype.kind != "f":
        return False
    largest = np.max(np.abs(one), initial=0.0)
    return bool(np.allclose(one, other, rtol=tolerance, atol=tolerance * largest, equal_nan=True))


def stale_constants(model: mujoco.MjModel) -> list[str]:
    """The derived arrays that `mj_setConst` would change: they belong to another model."""
    fresh = copy.copy(model)
    with warnings_logged():
        mujoco.mj_setConst(fresh, mujoco.MjData(fresh))
    return differing(model, fresh, TOLERANCE)


def impossible_values(model: mujoco.MjModel) -> list[str]:
    """Impossible values: numbers that are not finite, negative masses, impossible inertias."""
    problems = []
    for name in array_names():
        values = array(model, name)
        if values.dtype.kind == "f" and np.isnan(values).any():
            problems.append(f"{name} is not a number")
    for name in NOT_NEGATIVE:
        if np.min(getattr(model, name), initial=0.0) < 0:
            problems.append(f"{name} is negative ({np.min(getattr(model, name)):g})")
    problems += [
        f"the inertia of {model.body(body).name or f'body {body}'} is impossible: its largest "
        "moment exceeds the sum of the others"
        for body in range(1, model.nbody)
        if _impossible(model.body_inertia[body])
    ]
    return problems


def _impossible(inertia: NDArray[Any]) -> bool:
    """A + B >= C for the principal moments of every body, as MuJoCo's compiler demands."""
    return bool(2 * np.max(inertia) > np.sum(inertia) * (1 + 1e-9))
