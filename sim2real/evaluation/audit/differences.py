"""The differences between two models of one task, matched by the names of their elements."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.domains.model_fields.table import FIELDS
from sim2real.domains.models.matching import actuator_names, joint_names
from sim2real.errors import listed
from sim2real.evaluation.audit.checks import array
from sim2real.task import IntArray

_BODY = "mass inertia ipos iquat pos quat gravcomp"
_GEOM = (
    "friction size pos quat type condim contype conaffinity priority solmix solref solimp margin "
    "gap fluid"
)
_JOINT = "range limited stiffness axis pos solref solimp margin actfrcrange actfrclimited"
_DOF = "damping frictionloss armature"
_ACTUATOR = (
    "gaintype gainprm biastype biasprm dyntype dynprm gear ctrlrange forcelimited forcerange "
    "actlimited actrange armature damping"
)
_TENDON = "stiffness damping frictionloss armature range limited lengthspring"
_PAIR = "friction solref solimp margin gap dim"
_EQUALITY = "active0 data solref solimp"
_SITE = "pos quat"
_OPTIONS = (
    "gravity timestep integrator cone solver iterations tolerance impratio noslip_iterations "
    "density viscosity wind disableflags enableflags"
)
_ENUMS: dict[str, Any] = {
    "opt.integrator": mujoco.mjtIntegrator,
    "opt.cone": mujoco.mjtCone,
    "opt.solver": mujoco.mjtSolver,
    "geom_type": mujoco.mjtGeom,
    "actuator_gaintype": mujoco.mjtGain,
    "actuator_biastype": mujoco.mjtBias,
    "actuator_dyntype": mujoco.mjtDyn,
}
_COLUMNS = {
    "actuator_gainprm": {0: "gain"},
    "actuator_biasprm": {0: "constant bias", 1: "bias by position", 2: "bias by velocity"},
    "actuator_dynprm": {0: "time constant"},
}
TOLERANCE = 1e-9
"""Relative difference below which two entries are the same."""


@dataclass(frozen=True, eq=False)
class Difference:
    """Entries of one field in which a model differs from the task's own.

    `rows` are theirs in the model, `own_rows` in the task's, (m,); `changes` are the changes of the
    elements `names`, as text.
    """

    field: str
    names: tuple[str, ...]
    changes: tuple[str, ...]
    rows: IntArray
    own_rows: IntArray

    @property
    def description(self) -> str:
        """All of it; elements with the same change together."""
        together: dict[str, list[str]] = {}
        for name, change in zip(self.names, self.changes, strict=True):
            together.setdefault(change, []).append(name)
        return "; ".join(
            f"{', '.join(names)} {change}".strip() for change, names in together.items()
        )

    def single(self, index: int) -> Difference:
        """One entry of it."""
        return replace(
            self,
            names=self.names[index : index + 1],
            changes=self.changes[index : index + 1],
            rows=self.rows[index : index + 1],
            own_rows=self.own_rows[index : index + 1],
        )

    def undone(self, model: mujoco.MjModel, own: mujoco.MjModel) -> mujoco.MjModel:
        """A copy of `model` that has the task's `own` values in these entries."""
        changed = copy.copy(model)
        if self.field.startswith("opt."):
            name = self.field.removeprefix("opt.")
            setattr(changed.opt, name, getattr(own.opt, name))
        else:
            getattr(changed, self.field)[self.rows] = getattr(own, self.field)[self.own_rows]
        mujoco.mj_setConst(changed, mujoco.MjData(changed))
        return changed


def differences(own: mujoco.MjModel, model: mujoco.MjModel) -> Iterator[Difference]:
    """Every field in which matched elements differ; what only one of them has is not among them."""
    for prefix, fields, names in _KINDS:
        ours, theirs = names(own), names(model)
        common = [name for name in theirs if name in ours]
        rows = np.array([theirs.index(name) for name in common], dtype=np.intp)
        own_rows = np.array([ours.index(name) for name in common], dtype=np.intp)
        for field in fields.split():
            yield from _field(own, model, f"{prefix}_{field}", common, rows, own_rows)
    for field in ("qpos0", "qpos_spring"):
        yield from _positions(own, model, field)
    for option in _OPTIONS.split():
        yield from _option(own, model, f"opt.{option}")


def only_in_one(own: mujoco.MjModel, model: mujoco.MjModel) -> Iterator[tuple[str, str]]:
    """Kind, and the elements that only one of the two models has, as text."""
    for prefix, _, names in _KINDS:
        ours, theirs = names(own), names(model)
        missing = [name for name in ours if name not in theirs]
        more = [name for name in theirs if name not in ours]
        parts = [
            f"{what} {listed(found, 12)}"
            for what, found in (("lacks", missing), ("has besides", more))
            if found
        ]
        if parts and prefix != "dof":
            yield prefix, "; ".join(parts)


def _field(
    own: mujoco.MjModel,
    model: mujoco.MjModel,
    field: str,
    names: Sequence[str],
    rows: IntArray,
    own_rows: IntArray,
) -> Iterator[Difference]:
    before, after = getattr(own, field)[own_rows], getattr(model, field)[rows]
    if before.shape != after.shape or not len(rows):
        return
    differs = _apart(before, after, field).reshape(len(rows), -1).any(axis=1)
    found = np.flatnonzero(differs)
    if len(found):
        changes = tuple(_change(field, before[i], after[i]) for i in found.tolist())
        chosen = tuple(names[i] for i in found.tolist())
        yield Difference(field, chosen, changes, rows[found], own_rows[found])


def _positions(own: mujoco.MjModel, model: mujoco.MjModel, field: str) -> Iterator[Difference]:
    """A field of positions; the two models have the same joints in the same order."""
    names = [
        joint
        for joint, count in zip(joint_names(own), _numbers(own), strict=True)
        for _ in range(count)
    ]
    rows = np.arange(own.nq)
    yield from _field(own, model, field, names, rows, rows)


def _numbers(model: mujoco.MjModel) -> list[int]:
    """How many numbers of qpos each joint has."""
    ends = [*model.jnt_qposadr.tolist()[1:], model.nq]
    return [end - start for start, end in zip(model.jnt_qposadr.tolist(), ends, strict=True)]


def _option(own: mujoco.MjModel, model: mujoco.MjModel, field: str) -> Iterator[Difference]:
    before, after = array(own, field), array(model, field)
    if _apart(before, after, field).any():
        row = np.zeros(1, dtype=np.intp)
        yield Difference(field, ("",), (_change(field, before, after),), row, row)


def _apart(before: NDArray[Any], after: NDArray[Any], field: str) -> NDArray[np.bool_]:
    """Where two arrays differ by more than rounding; quaternions also by their sign alone."""
    if field.endswith("quat"):
        signs = np.sign((before * after).sum(axis=-1, keepdims=True))
        after = after * np.where(signs == 0, 1, signs)
    size = np.maximum(np.abs(before), np.abs(after)).astype(np.float64)
    apart: NDArray[np.bool_] = np.abs(after - before.astype(np.float64)) > TOLERANCE * np.maximum(
        size, 1e-3
    )
    return apart


def _change(field: str, before: NDArray[Any], after: NDArray[Any]) -> str:
    """A change as text; of a row with several numbers only those that differ."""
    if field.endswith("quat"):
        return f"turned by {np.rad2deg(_angle(before, after)):.3g} degrees"
    label, differs = "", np.atleast_1d(_apart(before, after, field)).reshape(-1)
    if before.ndim and not differs.all():
        before, after = (values.reshape(-1)[differs] for values in (before, after))
        label = f"{_columns(field, np.flatnonzero(differs).tolist())} "
    pairs = ([_number(field, one, n) for one in (before, after)] for n in (4, 8, 17))
    old, new = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{label}{old} -> {new}"


def _columns(field: str, columns: Sequence[int]) -> str:
    """The numbers of a row by their names, where they have such."""
    names = _COLUMNS.get(field, {})
    if field in FIELDS:
        names = {column: name for name, column in FIELDS[field].components.items()}
    return ", ".join(names.get(column, f"number {column}") for column in columns)


def _angle(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Angle between two orientations, rad."""
    return float(2 * np.arccos(np.clip(abs(float(one @ other)), 0.0, 1.0)))


def _number(field: str, value: NDArray[Any], digits: int) -> str:
    if field in _ENUMS:
        return str(_ENUMS[field](int(value)).name.split("_", 1)[1].lower())
    texts = [f"{number:.{digits}g}" for number in np.atleast_1d(value).reshape(-1).tolist()]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


# -- names of elements, unique in a model ----------------------------------------------------------


def bodies(model: mujoco.MjModel) -> list[str]:
    """Body names; of one without a name its place among those of its parent."""
    names: list[str] = []
    for body in range(model.nbody):
        parent = int(model.body_parentid[body])
        above = names[parent] if body else ""
        names.append(model.body(body).name or _next(f"{above}/body", names))
    return names


def geoms(model: mujoco.MjModel) -> list[str]:
    """Geom names; of one without a name its body, its type and its place there."""
    kinds = [mujoco.mjtGeom(int(kind)).name[7:].lower() for kind in model.geom_type]
    return _of_bodies(
        model, model.geom_bodyid, [g.name for g in map(model.geom, range(model.ngeom))], kinds
    )


def _sites(model: mujoco.MjModel) -> list[str]:
    names = [model.site(i).name for i in range(model.nsite)]
    return _of_bodies(model, model.site_bodyid, names, ["site"] * model.nsite)


def _of_bodies(
    model: mujoco.MjModel, owners: IntArray, names: Sequence[str], kinds: Sequence[str]
) -> list[str]:
    owned, found = bodies(model), list[str]()
    for name, owner, kind in zip(names, owners.tolist(), kinds, strict=True):
        found.append(name or _next(f"{owned[owner]}/{kind}", found))
    return found


def _next(stem: str, taken: Sequence[str]) -> str:
    """The stem with the first number that is free."""
    number = 0
    while f"{stem}{number}" in taken:
        number += 1
    return f"{stem}{number}"


def _dofs(model: mujoco.MjModel) -> list[str]:
    names, found = joint_names(model), list[str]()
    for joint in model.dof_jntid.tolist():
        one = names[joint]
        found.append(one if one not in found else _next(f"{one} ", found))
    return found


def _tendons(model: mujoco.MjModel) -> list[str]:
    return [model.tendon(i).name or f"#{i}" for i in range(model.ntendon)]


def _equalities(model: mujoco.MjModel) -> list[str]:
    return [model.equality(i).name or f"#{i}" for i in range(model.neq)]


def _pairs(model: mujoco.MjModel) -> list[str]:
    names = geoms(model)
    both = zip(model.pair_geom1.tolist(), model.pair_geom2.tolist(), strict=True)
    return ["+".join(sorted((names[one], names[other]))) for one, other in both]


_Names = Callable[[mujoco.MjModel], list[str]]
_KINDS: tuple[tuple[str, str, _Names], ...] = (
    ("body", _BODY, bodies),
    ("geom", _GEOM, geoms),
    ("jnt", _JOINT, joint_names),
    ("dof", _DOF, _dofs),
    ("actuator", _ACTUATOR, actuator_names),
    ("tendon", _TENDON, _tendons),
    ("pair", _PAIR, _pairs),
    ("eq", _EQUALITY, _equalities),
    ("site", _SITE, _sites),
)
