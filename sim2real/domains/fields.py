"""The one table of what a domain may change in a model, and how each quantity is indexed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError, unknown

Kind = Literal["body", "joint", "dof", "geom", "actuator", "option"]

_XYZ = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True)
class ModelField:
    """One quantity of the model.

    `components` names the columns of a quantity with several; `follows` are fields scaled by the
    same ratio so that the model stays physical; `at_least` is the smallest value that makes sense
    (`open_bound`: and is itself excluded).
    """

    name: str
    kind: Kind
    unit: str = ""
    components: dict[str, int] = field(default_factory=dict)
    follows: tuple[str, ...] = ()
    at_least: float = -np.inf
    open_bound: bool = False
    columns: tuple[int, ...] | None = None
    """The columns of a row that are meant where no component is named; None for all of them."""


_FIELDS = (
    ModelField("body_mass", "body", "kg", {}, ("body_inertia",), 0.0, True),
    ModelField("body_inertia", "body", "kg m²", {}, (), 0.0, True),
    ModelField("body_ipos", "body", "m", _XYZ),
    ModelField("geom_friction", "geom", "", {"sliding": 0, "torsional": 1, "rolling": 2}, (), 0.0),
    ModelField("dof_damping", "dof", "N s/m or N m s/rad", {}, (), 0.0),
    ModelField("dof_frictionloss", "dof", "N or N m", {}, (), 0.0),
    ModelField("dof_armature", "dof", "kg or kg m²", {}, (), 0.0),
    ModelField("jnt_stiffness", "joint", "N/m or N m/rad", {}, (), 0.0),
    ModelField("jnt_range", "joint", "m or rad", {"lower": 0, "upper": 1}),
    ModelField("actuator_gain", "actuator", "", {}, ("actuator_biasprm",), columns=(0,)),
    ModelField(
        "strength",
        "actuator",
        "",
        {},
        ("actuator_biasprm", "actuator_forcerange"),
        columns=(0,),
    ),
    ModelField("opt.gravity", "option", "m/s²", _XYZ),
    ModelField("opt.timestep", "option", "s", {}, (), 0.0, True),
    ModelField("opt.iterations", "option", "", {}, (), 1.0),
    ModelField("opt.tolerance", "option", "", {}, (), 0.0),
    ModelField("opt.impratio", "option", "", {}, (), 0.0, True),
    ModelField("opt.viscosity", "option", "Pa s", {}, (), 0.0),
    ModelField("opt.density", "option", "kg/m³", {}, (), 0.0),
)

FIELDS = {entry.name: entry for entry in _FIELDS if entry.name != "strength"}
"""What a `dynamics` parameter may name."""
STRENGTH = next(entry for entry in _FIELDS if entry.name == "strength")
"""The force of an actuator: gain, bias and force limit together."""

_ARRAYS = {"actuator_gain": "actuator_gainprm", "strength": "actuator_gainprm"}


def array_name(entry: ModelField) -> str:
    """The MjModel array that holds the quantity."""
    return _ARRAYS.get(entry.name, entry.name)


def nominal_array(model: mujoco.MjModel, name: str) -> NDArray[np.float64]:
    """A field of the nominal model as (rows, columns) numbers; options have one row."""
    if name.startswith("opt."):
        return np.atleast_2d(np.asarray(getattr(model.opt, name[4:]), dtype=np.float64))
    values = np.asarray(getattr(model, name), dtype=np.float64)
    return values.reshape(len(values), -1)


def component_columns(entry: ModelField, component: str | None, width: int) -> list[int]:
    """The columns that `component` names; UserError for a wrong name."""
    if component is None:
        return list(range(width)) if entry.columns is None else list(entry.columns)
    if component not in entry.components:
        raise unknown(f"component of {entry.name}", component, entry.components)
    return [entry.components[component]]


def element_rows(
    model: mujoco.MjModel, entry: ModelField, names: Sequence[str]
) -> dict[str, list[int]]:
    """Element name -> its rows in the field's array, for the elements that `names` match.

    `names` are names or glob patterns; none at all stands for every element (but the world body).
    Joints with several degrees of freedom have several rows in `dof_` fields.
    Raises UserError for a name that no element has.
    """
    if entry.kind == "option":
        if names:
            raise UserError(f"{entry.name} belongs to the whole world; drop 'of: {list(names)}'")
        return {"": [0]}
    rows = _rows_by_name(model, entry.kind)
    if not names:
        return rows
    chosen: dict[str, list[int]] = {}
    for name in names:
        matches = [element for element in rows if fnmatchcase(element, name)]
        if not matches:
            kind = "joint" if entry.kind == "dof" else entry.kind
            raise unknown(kind, name, rows)
        chosen |= {element: rows[element] for element in matches}
    return chosen


def _rows_by_name(model: mujoco.MjModel, kind: Kind) -> dict[str, list[int]]:
    if kind == "body":
        return {model.body(i).name or f"#{i}": [i] for i in range(1, model.nbody)}
    if kind == "geom":
        return {model.geom(i).name or f"#{i}": [i] for i in range(model.ngeom)}
    if kind == "actuator":
        return {model.actuator(i).name or _actuated(model, i): [i] for i in range(model.nu)}
    joints = [model.joint(i) for i in range(model.njnt)]
    names = [joint.name or f"#{joint.id}" for joint in joints]
    if kind == "joint":
        return {name: [joint.id] for name, joint in zip(names, joints, strict=True)}
    ends = [*(int(joint.dofadr[0]) for joint in joints[1:]), model.nv]
    return {
        name: list(range(int(joint.dofadr[0]), end))
        for name, joint, end in zip(names, joints, ends, strict=True)
    }


def _actuated(model: mujoco.MjModel, actuator: int) -> str:
    """An unnamed actuator is called after the joint that it drives."""
    if model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_JOINT:
        return model.joint(int(model.actuator_trnid[actuator, 0])).name or f"#{actuator}"
    return f"#{actuator}"
