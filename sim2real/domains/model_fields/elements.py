"""Elements of a model by name, and the rows that hold them in its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import mujoco

from sim2real.domains.model_fields.table import ElementKind, ModelField
from sim2real.errors import UserError, unknown

_COUNTS: dict[str, str] = {
    **{kind: f"n{kind}" for kind in ("body", "geom", "site", "tendon")},
    "equality": "neq",
    "camera": "ncam",
    "light": "nlight",
    "mat": "nmat",
}
"""The sizes of a model that count the elements of a kind."""


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
    return matching(rows, names, "joint" if entry.kind in ("dof", "qpos") else entry.kind)


def matching(
    rows: Mapping[str, list[int]], names: Sequence[str], what: str
) -> dict[str, list[int]]:
    """The `rows` by name that `names` match: names or patterns; all of them without names.

    Raises UserError for a name that matches none; `what` describes the rows.
    """
    chosen = {} if names else dict(rows)
    for name in names:
        matches = [element for element in rows if element == name or fnmatchcase(element, name)]
        if not matches:
            raise unknown(what, name, rows)
        chosen |= {element: rows[element] for element in matches}
    return chosen


def _rows_by_name(model: mujoco.MjModel, kind: ElementKind) -> dict[str, list[int]]:
    if kind in _COUNTS:
        element, first = getattr(model, kind), int(kind == "body")  # the world is no element
        places = range(first, getattr(model, _COUNTS[kind]))
        return {element(i).name or f"#{i}": [i] for i in places}
    if kind == "pair":
        return {_pair_name(model, i): [i] for i in range(model.npair)}
    if kind == "actuator":
        return {model.actuator(i).name or _actuated(model, i): [i] for i in range(model.nactuator)}
    joints = [model.joint(i) for i in range(model.njnt)]
    names = [joint.name or f"#{joint.id}" for joint in joints]
    if kind == "joint":
        return {name: [joint.id] for name, joint in zip(names, joints, strict=True)}
    if kind == "qpos":
        return {
            name: [int(joint.qposadr[0])]
            for name, joint in zip(names, joints, strict=True)
            if len(joint.qpos0) == 1
        }
    ends = [*(int(joint.dofadr[0]) for joint in joints[1:]), model.nv]
    return {
        name: list(range(int(joint.dofadr[0]), end))
        for name, joint, end in zip(names, joints, ends, strict=True)
    }


def _pair_name(model: mujoco.MjModel, pair: int) -> str:
    """An unnamed pair is called after its geoms: "floor+foot"."""
    geoms = (int(model.pair_geom1[pair]), int(model.pair_geom2[pair]))
    both = "+".join(model.geom(geom).name or f"#{geom}" for geom in geoms)
    return model.pair(pair).name or both


def _actuated(model: mujoco.MjModel, actuator: int) -> str:
    """An unnamed actuator is called after the joint that it drives."""
    if model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_JOINT:
        return model.joint(int(model.actuator_trnid[actuator, 0])).name or f"#{actuator}"
    return f"#{actuator}"
