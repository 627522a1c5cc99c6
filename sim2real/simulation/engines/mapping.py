"""What a compiled MuJoCo model means for another engine: colliding pairs, refusals, notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, IntArray

_GEOM, _JOINT, _DISABLED = mujoco.mjtGeom, mujoco.mjtJoint, mujoco.mjtDisableBit
SHAPES = {
    int(_GEOM.mjGEOM_PLANE),
    int(_GEOM.mjGEOM_SPHERE),
    int(_GEOM.mjGEOM_CAPSULE),
    int(_GEOM.mjGEOM_CYLINDER),
    int(_GEOM.mjGEOM_BOX),
    int(_GEOM.mjGEOM_ELLIPSOID),
    int(_GEOM.mjGEOM_MESH),
}
"""The shapes that have a counterpart."""

MOST_NAMES = 6
"""The most elements of a kind that a message names."""


def disabled(model: mujoco.MjModel, flag: mujoco.mjtDisableBit) -> bool:
    """Whether a flag of the model disables a part of the physics."""
    return bool(int(model.opt.disableflags) & int(flag))


def colliding_pairs(model: mujoco.MjModel) -> list[tuple[int, int]]:
    """The pairs of geoms that MuJoCo tests for contact: bits, exclusions, parents and children."""
    if disabled(model, _DISABLED.mjDSBL_CONTACT):
        return []
    kind, takes = model.geom_contype, model.geom_conaffinity
    weld = model.body_weldid[model.geom_bodyid]
    parent = model.body_weldid[model.body_parentid[weld]]
    excluded = {(int(one) >> 16, int(one) & 0xFFFF) for one in model.exclude_signature}
    keeps_parents = disabled(model, _DISABLED.mjDSBL_FILTERPARENT)
    planes = model.geom_type == _GEOM.mjGEOM_PLANE

    def collide(i: int, j: int) -> bool:
        if not (kind[i] & takes[j] or kind[j] & takes[i]) or weld[i] == weld[j]:
            return False
        related = weld[i] == parent[j] or weld[j] == parent[i]
        if related and weld[i] and weld[j] and not keeps_parents:
            return False
        bodies = sorted((int(model.geom_bodyid[i]), int(model.geom_bodyid[j])))
        return (bodies[0], bodies[1]) not in excluded and not (planes[i] and planes[j])

    count = model.ngeom
    return [(i, j) for i in range(count) for j in range(i + 1, count) if collide(i, j)]


def sliding_friction(model: mujoco.MjModel, one: int, other: int) -> float:
    """The coefficient of sliding friction between two geoms, as MuJoCo combines them."""
    pair = np.array([one, other])
    priority = model.geom_priority[pair]
    chosen = pair[priority == priority.max()]
    if model.geom_condim[chosen].max() == 1:
        return 0.0
    return float(model.geom_friction[chosen, 0].max())


def armature(model: mujoco.MjModel) -> Array:
    """The reflected inertia of each degree of freedom, (nv,), its motors' among it."""
    found = np.array(model.dof_armature, dtype=np.float64)
    for actuator in np.flatnonzero(model.actuator_armature):
        joint = model.actuator_trnid[actuator, 0]
        reflected = model.actuator_gear[actuator, 0] ** 2 * model.actuator_armature[actuator]
        found[model.jnt_dofadr[joint]] += reflected
    return found


def unsupported(model: mujoco.MjModel) -> list[str]:
    """What of a model has no counterpart in Drake and cannot be left out, by name."""
    return [_told(*found) for found in _unsupported(model) if found[1]]


def _unsupported(model: mujoco.MjModel) -> Iterator[tuple[str, list[str]]]:
    colliding = sorted({geom for pair in colliding_pairs(model) for geom in pair})
    free = np.isin(model.jnt_type[model.dof_jntid], [_JOINT.mjJNT_FREE])
    by_joint = np.isin(
        model.actuator_trntype,
        [mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT],
    )
    adhesive = model.actuator_trntype == mujoco.mjtTrn.mjTRN_BODY
    shapes = [one for one in colliding if int(model.geom_type[one]) not in SHAPES]
    moved = [one for one in colliding if model.body_mocapid[model.geom_bodyid[one]] >= 0]
    yield "equality constraints", _names(model, "equality", range(model.neq))
    yield "ball joints", _names(model, "joint", model.jnt_type == _JOINT.mjJNT_BALL)
    yield "limits of tendons", _names(model, "tendon", model.tendon_limited)
    yield "armature of tendons", _names(model, "tendon", model.tendon_armature > 0)
    yield (
        "armature of free joints",
        _names(model, "joint", model.dof_jntid[free & (model.dof_armature > 0)]),
    )
    yield (
        "armature of actuators that act on no joint",
        _names(model, "actuator", (model.actuator_armature > 0) & ~by_joint),
    )
    yield "adhesion of actuators", _names(model, "actuator", adhesive)
    yield "adhesion of geoms", _names(model, "geom", model.geom_adhesion != 0)
    yield "moving surfaces", _names(model, "geom", _any(model.geom_surfacevel))
    yield "joints that yield", _names(model, "joint", np.array(model.jnt_plasticadr) >= 0)
    yield "contact pairs", _names(model, "pair", range(model.npair))
    yield "shapes of geoms", _names(model, "geom", shapes)
    yield "contacts of mocap bodies", _names(model, "geom", moved)
    yield "flexible bodies", _names(model, "flex", range(model.nflex))
    yield "plugins", _names(model, "plugin", range(model.nplugin))


def misfits(model: mujoco.MjModel) -> list[str]:
    """What of a model Drake leaves out or computes in another way, by name."""
    return [_told(*found) for found in _misfits(model) if found[1]]


def _misfits(model: mujoco.MjModel) -> Iterator[tuple[str, list[str]]]:
    pairs = colliding_pairs(model)
    colliding = np.array(sorted({geom for pair in pairs for geom in pair}), dtype=np.intp)
    planes = model.geom_type == _GEOM.mjGEOM_PLANE
    unequal = {
        geom
        for pair in pairs
        if not planes[list(pair)].any() and np.ptp(model.geom_friction[list(pair), 0]) > 0
        for geom in pair
    }
    meshes = model.geom_type[colliding] == _GEOM.mjGEOM_MESH
    rolls, wide = model.geom_condim[colliding] > 3, model.geom_margin[colliding] > 0
    yield (
        "no dry friction of joints",
        _names(model, "joint", model.dof_jntid[model.dof_frictionloss > 0]),
    )
    yield "no dry friction of tendons", _names(model, "tendon", model.tendon_frictionloss > 0)
    yield "no torsional and rolling friction", _names(model, "geom", colliding[rolls])
    yield "no contact margin", _names(model, "geom", colliding[wide])
    yield "one contact at a time on a plane", _names(model, "geom", colliding[meshes])
    yield (
        "the harmonic mean of unequal friction coefficients, not the larger one",
        _names(model, "geom", sorted(unequal)),
    )


def _told(what: str, names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    shown = [*names[:MOST_NAMES], *([f"{more} more"] if more > 0 else [])]
    return f"{what} ({', '.join(shown)})"


def _any(values: Array) -> NDArray[np.bool_]:
    """Rows, (n,), in which a number is not zero."""
    found: NDArray[np.bool_] = np.any(values.reshape(len(values), -1), axis=1)
    return found


def _names(model: mujoco.MjModel, kind: str, chosen: Iterable[int] | IntArray) -> list[str]:
    """Names of elements, given by a mask or by indices."""
    rows = np.asarray(chosen if isinstance(chosen, np.ndarray) else list(chosen))
    if rows.dtype == np.bool_:
        rows = np.flatnonzero(rows)
    names = [_name(model, kind, int(row)) for row in rows]
    return list(dict.fromkeys(names))


def _name(model: mujoco.MjModel, kind: str, row: int) -> str:
    found = mujoco.mj_id2name(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), row)
    return found or f"#{row}"
