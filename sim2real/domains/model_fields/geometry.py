"""Sizes, places and lengths of a model's parts: changed in its MJCF, and compiled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import mujoco
import numpy as np

from sim2real.domains.binding.variants import compile_variants
from sim2real.domains.model_fields import requirements as limits
from sim2real.domains.model_fields.closed_loops import (
    ANCHOR,
    check_closed,
    close_loops,
    connections,
    gaps,
    welded,
)
from sim2real.domains.model_fields.inertia import body_inertia, matrices, pseudo_inertia, stretched
from sim2real.domains.model_fields.locations import Place
from sim2real.domains.model_fields.table import nominal_array
from sim2real.domains.writes import Fixed, Write
from sim2real.errors import UserError
from sim2real.task import Array

_GEOM, _JOINT = mujoco.mjtGeom, mujoco.mjtJoint
_AXIAL = (int(_GEOM.mjGEOM_CAPSULE), int(_GEOM.mjGEOM_CYLINDER))
_BLOCKS = (int(_GEOM.mjGEOM_BOX), int(_GEOM.mjGEOM_ELLIPSOID))
_TURNING = (int(_JOINT.mjJNT_HINGE), int(_JOINT.mjJNT_BALL))
_TURNED = {"body_tilt": "body_quat", "site_tilt": "site_quat", "jnt_tilt": "jnt_axis"}
"""The array that each table of tilts turns."""
_WIDTH = {
    **dict.fromkeys(("geom_pos", "geom_size", "body_pos", "body_inertia", "body_ipos"), 3),
    **dict.fromkeys(("jnt_pos", "jnt_axis", "site_pos", *_TURNED), 3),
    **dict.fromkeys(("geom_quat", "body_quat", "body_iquat", "site_quat", "link_length"), 4),
    "eq_data": mujoco.mjNEQDATA,
}
"""Arrays that the geometry is written in, and tables of it: numbers a row."""
_LENGTHS = ("geom_size", "geom_pos", "body_pos", "jnt_pos", "site_pos")
LONGEST = 1e4
"""Meters that a part is made long, or moved away from its body, at most."""


class Shape:
    """The geometry of one variant: arrays by name, (rows, numbers), as MuJoCo has them."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self.arrays: dict[str, Array] = {
            name: np.array(nominal_array(model, name)) for name in _WIDTH
        }

    def change(self, write: Write, draws: Array) -> None:
        """Apply a write for the draws (context,)."""
        self.arrays[write.array].reshape(-1)[write.columns] = write.values(draws[None])[0]

    def finish(self) -> None:
        """Work out the tables: lengths, then tilts, then where loops are closed."""
        for body, column in np.argwhere(self.arrays["link_length"] != 1).tolist():
            axis = np.eye(3)[column - 1] if column else long_axis(self._model, body)
            self._stretch(body, axis, float(self.arrays["link_length"][body, column]))
        for kind in ("body", "site"):
            tilts, quats = self.arrays[f"{kind}_tilt"], self.arrays[f"{kind}_quat"]
            for row in np.flatnonzero(tilts.any(axis=1)).tolist():
                mujoco.mju_mulQuat(quats[row], quats[row].copy(), _quat(tilts[row]))
        for joint in np.flatnonzero(self.arrays["jnt_tilt"].any(axis=1)).tolist():
            turn = matrices(_quat(self.arrays["jnt_tilt"][joint]))
            self.arrays["jnt_axis"][joint] = turn @ self.arrays["jnt_axis"][joint]
        self._check_lengths()
        close_loops(self._model, self.arrays)

    def _check_lengths(self) -> None:
        """UserError for a length beyond LONGEST."""
        for name in _LENGTHS:
            made = self.arrays[name][self.arrays[name] != getattr(self._model, name)]
            worst = np.abs(made).max(initial=0.0)
            if not worst <= LONGEST:
                raise UserError(f"{name} becomes {worst:.3g} m; allowed: at most {LONGEST:,.0f} m")

    def _stretch(self, body: int, axis: Array, factor: float) -> None:
        """Stretch a link along `axis` about the joint that it hangs on; what hangs on it moves."""
        model, arrays = self._model, self.arrays
        fixed = anchor(model, body)
        matrix = np.eye(3) + (factor - 1.0) * np.outer(axis, axis)

        def moved(points: Array) -> Array:
            new: Array = fixed + (points - fixed) @ matrix
            return new

        for geom in np.flatnonzero(model.geom_bodyid == body).tolist():
            if not limits.primitive(model, geom):
                arrays["geom_pos"][geom] = moved(arrays["geom_pos"][geom])
                self._stretch_geom(geom, matrix)
        for name, owner in (("site_pos", model.site_bodyid), ("jnt_pos", model.jnt_bodyid)):
            rows = np.flatnonzero(owner == body)
            arrays[name][rows] = moved(arrays[name][rows])
        for row, place in connections(model, body):
            arrays["eq_data"][row, place] = moved(arrays["eq_data"][row, place])
        for child in np.flatnonzero(model.body_parentid == body).tolist():
            turned: Array = matrices(model.body_quat[child]) @ anchor(model, child)
            hinge = model.body_pos[child] + turned
            arrays["body_pos"][child] += moved(hinge) - hinge
        parts = (arrays["body_inertia"], arrays["body_ipos"], arrays["body_iquat"])
        pseudo = pseudo_inertia(model.body_mass[body], *(part[body] for part in parts))
        _, *new = body_inertia(stretched(pseudo, matrix, fixed))
        for part, value in zip(parts, new, strict=True):
            part[body] = value  # used where the MJCF gives the inertia of the body itself

    def _stretch_geom(self, geom: int, matrix: Array) -> None:
        """Sizes along each axis grow as a line along it does; a capsule turns with its own."""
        size, quat = self.arrays["geom_size"][geom], self.arrays["geom_quat"][geom]
        axes = matrices(quat)
        lengths = np.linalg.norm(matrix @ axes, axis=0)
        if self._model.geom_type[geom] in _BLOCKS:
            size *= lengths
        elif self._model.geom_type[geom] in _AXIAL:
            size[1] *= lengths[2]
            old, new = axes[:, 2], matrix @ axes[:, 2] / lengths[2]
            turn = np.cross(old, new)
            if np.linalg.norm(turn) > 1e-12:
                own, vector = quat.copy(), turn / np.linalg.norm(turn)
                angle = np.arctan2(np.linalg.norm(turn), old @ new)
                mujoco.mju_mulQuat(quat, _quat(vector * angle), own)


def long_axis(model: mujoco.MjModel, body: int) -> Array:
    """The axis, in the body's frame, of its longest geom; UserError if all are round."""
    best, axis = 0.0, None
    for geom in np.flatnonzero(model.geom_bodyid == body).tolist():
        size, axes = model.geom_size[geom], matrices(model.geom_quat[geom])
        kind = model.geom_type[geom]
        along = 2 if kind in _AXIAL else int(np.argmax(size))
        round_ = kind in _BLOCKS and np.isclose(size, size[along]).sum() > 1
        if kind in (*_AXIAL, *_BLOCKS) and not round_ and size[2 if kind in _BLOCKS else 1] > 0:
            length = size[1] if kind in _AXIAL else size[along]
            if length > best:
                best, axis = float(length), axes[:, along]
    if axis is None:
        raise UserError(
            f"{model.body(body).name} has no long geom; name the axis of its length: x, y or z"
        )
    return axis


def anchor(model: mujoco.MjModel, body: int) -> Array:
    """Where a body turns, in its own frame: its first hinge or ball, or else its origin."""
    for joint in np.flatnonzero(model.jnt_bodyid == body).tolist():
        if model.jnt_type[joint] in _TURNING:
            place: Array = np.array(model.jnt_pos[joint])
            return place
    return np.zeros(3)


def touches(model: mujoco.MjModel, place: Place) -> list[Place]:
    """The other numbers that a change of the geometry changes; UserError for what has no length."""
    if place.array in _TURNED:
        return _row(_TURNED[place.array], place.flat // 3)
    if place.array != "link_length":
        return []
    body = place.flat // 4
    if welded(model, body):
        raise UserError(f"{model.body(body).name} is welded by an equality, whose place is fixed")
    if not place.flat % 4:
        long_axis(model, body)
    found = []
    for geom in np.flatnonzero(model.geom_bodyid == body).tolist():
        reason = limits.primitive(model, geom)
        if reason and (model.geom_contype[geom] or model.geom_conaffinity[geom]):
            raise UserError(f"{model.body(body).name}: {reason}")
        found += [*_row("geom_pos", geom), *_row("geom_size", geom)]
    for name, owner in (("site_pos", model.site_bodyid), ("jnt_pos", model.jnt_bodyid)):
        for row in np.flatnonzero(owner == body).tolist():
            found += _row(name, row)
    for row, anchored in connections(model, body):
        found += _row("eq_data", row)[anchored]
    for child in np.flatnonzero(model.body_parentid == body).tolist():
        found += _row("body_pos", child)
    return found


def compile_pool(
    model: mujoco.MjModel,
    spec: Callable[[], mujoco.MjSpec],
    writes: Sequence[Write],
    draws: Array,
) -> list[Fixed]:
    """The differences of the variants of `model` for the draws (variants, context), as writes."""
    shapes = []
    for row in draws:
        shape = Shape(model)
        for write in writes:
            shape.change(write, row)
        shape.finish()
        shapes.append(shape)
    authored = spec()
    authored.compile()  # gives the elements their ids
    editor = _Editor(model, authored)
    return compile_variants(model, len(shapes), lambda index: editor.compile(shapes[index]))


class _Editor:
    """Compiles copies of an MJCF with the rows of a shape that differ from the model."""

    def __init__(self, model: mujoco.MjModel, authored: mujoco.MjSpec) -> None:
        self._model, self._authored = model, authored
        self._nominal = Shape(model).arrays
        self._order = {
            kind: {element.id: index for index, element in enumerate(getattr(authored, kind))}
            for kind in ("geoms", "bodies", "joints", "sites")
        }
        self._copying = threading.Lock()
        self._open = gaps(model)

    def compile(self, shape: Shape) -> mujoco.MjModel:
        """The model of a shape; UserError if the compiler refuses it."""
        with self._copying:
            spec = self._authored.copy()
        self._edit(spec, shape.arrays)
        try:
            model = spec.compile()
        except ValueError as error:
            raise UserError(f"no model compiles: {' '.join(str(error).split())}") from None
        check_closed(model, self._open)
        return model

    def _edit(self, spec: mujoco.MjSpec, arrays: dict[str, Array]) -> None:
        for row in self._changed(arrays, "geom_pos", "geom_quat", "geom_size"):
            geom = self._element(spec, "geoms", row)
            geom.fromto = [np.nan] * 6
            geom.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
            geom.pos, geom.quat = arrays["geom_pos"][row], arrays["geom_quat"][row]
            geom.size = arrays["geom_size"][row]
        for row in self._changed(arrays, "body_pos", "body_quat"):
            body = self._element(spec, "bodies", row)
            body.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
            body.pos, body.quat = arrays["body_pos"][row], arrays["body_quat"][row]
        for row in self._changed(arrays, "jnt_pos", "jnt_axis"):
            joint = self._element(spec, "joints", row)
            joint.pos, joint.axis = arrays["jnt_pos"][row], arrays["jnt_axis"][row]
        for row in self._changed(arrays, "site_pos", "site_quat"):
            site = self._element(spec, "sites", row)
            site.fromto = [np.nan] * 6
            site.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
            site.pos, site.quat = arrays["site_pos"][row], arrays["site_quat"][row]
            site.size = self._model.site_size[row]
        for row in self._changed(arrays, "body_inertia", "body_ipos", "body_iquat"):
            body = self._element(spec, "bodies", row)
            if body.explicitinertial:
                body.fullinertia = [np.nan] * 6
                body.ialt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
                body.ipos, body.iquat = arrays["body_ipos"][row], arrays["body_iquat"][row]
                body.inertia = arrays["body_inertia"][row]

        for row in self._changed(arrays, "eq_data"):
            spec.equalities[row].data[ANCHOR] = arrays["eq_data"][row, ANCHOR]

    def _changed(self, arrays: dict[str, Array], *names: str) -> list[int]:
        different = [(arrays[name] != self._nominal[name]).any(axis=1) for name in names]
        return np.flatnonzero(np.any(different, axis=0)).tolist()

    def _element(self, spec: mujoco.MjSpec, kind: str, row: int) -> Any:
        element = getattr(spec, kind)[self._order[kind][row]]
        if element.frame is not None:
            raise UserError(f"{element.name!r} stands in a <frame>; give it a place of its own")
        return element


def _row(name: str, row: int) -> list[Place]:
    width = _WIDTH[name]
    return [Place(name, row * width + column) for column in range(width)]


def _quat(vector: Array) -> Array:
    """The rotation by |vector| rad about the vector, as a quaternion."""
    quat, angle = np.zeros(4), float(np.linalg.norm(vector))
    mujoco.mju_axisAngle2Quat(quat, vector / angle, angle)
    return quat
