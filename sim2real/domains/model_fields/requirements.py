"""Conditions for a change of a model to have an effect.

Each returns the reason why a change of the row has none, or "" where it has one.
"""

from __future__ import annotations

from collections.abc import Callable

import mujoco

_PRIMITIVES = {
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_BOX,
}
_WHAT = {
    "eq_active0": "the constraint is not active",
    "jnt_limited": "the joint has no limits",
    "jnt_actfrclimited": "the joint has no limits of its actuator force",
    "tendon_limited": "the tendon has no limits",
    "actuator_forcelimited": "the actuator has no force limits; set its torque_limit",
}


def limited(flag: str) -> Callable[[mujoco.MjModel, int], str]:
    """The row's `flag` must be on: limits that are off have no effect."""
    return lambda model, row: "" if getattr(model, flag)[row] else _WHAT[flag]


def nonzero(array: str) -> Callable[[mujoco.MjModel, int], str]:
    """The row must not be 0: MuJoCo compiles the quantity in only where the MJCF gives one."""
    return lambda model, row: (
        "" if getattr(model, array)[row] else "it is 0, and cannot be given at run time"
    )


def falls(model: mujoco.MjModel, row: int) -> str:
    """The body must move and have a mass that gravity acts on."""
    if model.body_weldid[row] == 0 or model.body_mocapid[row] >= 0:
        return "the body does not move"
    return "" if model.body_mass[row] else "the body has no mass"


def full_inertia(model: mujoco.MjModel, row: int) -> str:
    """The body must move, and its mass matrix must not have been compiled as a diagonal."""
    if model.body_weldid[row] == 0 or model.body_mocapid[row] >= 0:
        return "the body does not move"
    if model.body_simple[row]:
        return 'the body\'s mass matrix is a diagonal one; give the body simple="false" in the MJCF'
    return ""


def stretchable(model: mujoco.MjModel, row: int) -> str:
    """The body must have a geom, a mass or a child; the marker of a goal has none of them."""
    has_children = (model.body_parentid == row).any()
    if model.body_geomnum[row] or model.body_mass[row] or has_children:
        return ""
    return "it has neither geom, mass nor child, so a length changes nothing"


def primitive(model: mujoco.MjModel, row: int) -> str:
    """The geom must have a size in the physics: a plane's is for rendering, a mesh has none."""
    kind = mujoco.mjtGeom(int(model.geom_type[row]))
    name = kind.name.removeprefix("mjGEOM_").lower()
    return "" if kind in _PRIMITIVES else f"a {name} has a shape that all worlds share"


def rotates(model: mujoco.MjModel, row: int) -> str:
    """The joint must have an anchor that matters."""
    turning = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_BALL))
    return "" if model.jnt_type[row] in turning else "only hinges and balls turn about an anchor"


def has_axis(model: mujoco.MjModel, row: int) -> str:
    """The joint must have an axis."""
    straight = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    return "" if model.jnt_type[row] in straight else "only hinges and slides have an axis"
