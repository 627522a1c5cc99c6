"""Closed loops: where equality constraints tie bodies, when a model's geometry changes.

A `connect` of two bodies has an anchor in the frame of each. MuJoCo's compiler reads the first, and
puts the second where it coincides with the first in the reference pose (`qpos0`). So a link that is
stretched takes its anchor with it, and the loop stays closed in the reference pose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import mujoco
import numpy as np

from sim2real.domains.model_fields.inertia import matrices
from sim2real.errors import UserError
from sim2real.task import Array

ANCHOR, OTHER_ANCHOR = slice(0, 3), slice(3, 6)
"""Where `eq_data` has the anchor of a `connect` in the frames of its first and second body."""
TOLERANCE = 1e-6
"""Distance in m by which a constraint may be violated in the reference pose beyond the nominal."""
_CONNECT, _WELD = int(mujoco.mjtEq.mjEQ_CONNECT), int(mujoco.mjtEq.mjEQ_WELD)
_BODY = int(mujoco.mjtObj.mjOBJ_BODY)


def connections(model: mujoco.MjModel, body: int) -> Iterator[tuple[int, slice]]:
    """Every `connect` of a body: its row, and where that has the anchor in the body's frame."""
    for row in _tied(model, _CONNECT):
        if model.eq_obj1id[row] == body:
            yield row, ANCHOR
        if model.eq_obj2id[row] == body:
            yield row, OTHER_ANCHOR


def welded(model: mujoco.MjModel, body: int) -> bool:
    """Whether a `weld` holds the frame of the body."""
    return any(body in (model.eq_obj1id[row], model.eq_obj2id[row]) for row in _tied(model, _WELD))


def close_loops(model: mujoco.MjModel, arrays: Mapping[str, Array]) -> None:
    """Move the first anchor, where only the second body was stretched, to the second one.

    `arrays` are those of the changed geometry; "eq_data" is changed in place.
    """
    data = arrays["eq_data"]
    for row in _tied(model, _CONNECT):
        first, second = (
            (data[row, place] != model.eq_data[row, place]).any()
            for place in (ANCHOR, OTHER_ANCHOR)
        )
        if second and not first:
            place, turn = _reference_pose(model, arrays, int(model.eq_obj2id[row]))
            point = place + turn @ data[row, OTHER_ANCHOR]
            place, turn = _reference_pose(model, arrays, int(model.eq_obj1id[row]))
            data[row, ANCHOR] = turn.T @ (point - place)


def _reference_pose(
    model: mujoco.MjModel, arrays: Mapping[str, Array], body: int
) -> tuple[Array, Array]:
    """Place (3,) and rotation matrix (3, 3) of a body at `qpos0`, where joints turn nothing."""
    place, turn = np.zeros(3), np.eye(3)
    while body:
        own: Array = matrices(arrays["body_quat"][body])
        place, turn = arrays["body_pos"][body] + own @ place, own @ turn
        body = int(model.body_parentid[body])
    return place, turn


def gaps(model: mujoco.MjModel) -> Array:
    """By how much each active equality constraint is violated in the reference pose, (neq,)."""
    found = np.zeros(model.neq)
    if not model.neq:
        return found
    data = mujoco.MjData(model)
    mujoco.mj_fwdPosition(model, data)
    rows = data.efc_type == int(mujoco.mjtConstraint.mjCNSTR_EQUALITY)
    np.maximum.at(found, data.efc_id[rows], np.abs(data.efc_pos[rows]))
    return found


def check_closed(model: mujoco.MjModel, nominal: Array) -> None:
    """Raise UserError if a constraint is violated more than in the nominal model, (neq,)."""
    apart = gaps(model)
    for row in np.flatnonzero(apart > nominal + TOLERANCE).tolist():
        name = model.equality(row).name or f"#{row}"
        raise UserError(
            f"equality {name} would come apart by {apart[row]:.3g} in the reference pose; a loop "
            "follows the geometry where a connect names two bodies and an anchor"
        )


def _tied(model: mujoco.MjModel, kind: int) -> list[int]:
    """The rows of the equality constraints of a kind that name bodies."""
    rows: list[int] = np.flatnonzero((model.eq_type == kind) & (model.eq_objtype == _BODY)).tolist()
    return rows
