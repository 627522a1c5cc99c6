"""The table of what a domain may change in the look of a model: it has no effect on the physics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.domains.distributions.distribution import Choice, Constant, Distribution
from sim2real.domains.model_fields.locations import Place, Quantity
from sim2real.domains.model_fields.table import ElementKind, ModelField, Needs
from sim2real.domains.writes import Flat, Write
from sim2real.errors import UserError
from sim2real.task import Array, IntArray

_XYZ = {"x": 0, "y": 1, "z": 2}
_RGB = {"r": 0, "g": 1, "b": 2}
_RGBA = {**_RGB, "a": 3}
_DEFAULT = np.array([0.5, 0.5, 0.5, 1.0], np.float32)
"""The colour of an element to which the MJCF gives none; it has that of its material, if any."""
_ROLE = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)


def _own_colour(kind: str) -> Needs:
    """A condition: the element must not have the colour of a material."""

    def needs(model: mujoco.MjModel, row: int) -> str:
        material = int(getattr(model, f"{kind}_matid")[row])
        if material < 0 or (getattr(model, f"{kind}_rgba")[row] != _DEFAULT).any():
            return ""
        return f"it has the colour of its material {model.mat(material).name}; change mat_rgba"

    return needs


def _placed(model: mujoco.MjModel, row: int) -> str:
    """The light must have a place: one that is directional shines from everywhere alike."""
    directional = model.light_type[row] == mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    return "it is directional, so it has no place; change light_dir" if directional else ""


def _fixed(model: mujoco.MjModel, row: int) -> str:
    """The camera must be fixed in its body: a tracking one turns by itself."""
    fixed = model.cam_mode[row] == mujoco.mjtCamLight.mjCAMLIGHT_FIXED
    return "" if fixed else 'it follows something; allowed: mode="fixed"'


def _angle(model: mujoco.MjModel, row: int) -> str:
    """The camera must have a field of view of its own."""
    return (
        "its view is given by a sensor size"
        if model.cam_sensorsize[row].any()
        else _fixed(model, row)
    )


def _textured(model: mujoco.MjModel, row: int) -> str:
    """The material must have a texture."""
    return "" if model.mat_texid[row, _ROLE] >= 0 else "it has no texture"


def _texture(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    place = Place("mat_texid", row * model.mat_texid.shape[1] + _ROLE)
    return Quantity((place,), (), (place,))


def _colour(
    name: str, kind: ElementKind, parts: Mapping[str, int], needs: Needs | None = None
) -> ModelField:
    """A colour, each component between 0 and 1; one that is scaled beyond 1 is shown as 1."""
    bounds = dict.fromkeys(parts, (0.0, 1.0))
    return ModelField(name, kind, components=parts, at_least=0.0, bounds=bounds, needs=needs)


_FIELDS = (
    _colour("geom_rgba", "geom", _RGBA, needs=_own_colour("geom")),
    _colour("site_rgba", "site", _RGBA, needs=_own_colour("site")),
    _colour("mat_rgba", "mat", _RGBA),
    ModelField("mat_emission", "mat", at_least=0.0),
    ModelField("mat_specular", "mat", at_least=0.0),
    ModelField("mat_shininess", "mat", at_least=0.0),
    ModelField("mat_texrepeat", "mat", components={"x": 0, "y": 1}, at_least=0.0, needs=_textured),
    ModelField("texture", "mat", operations=("set",), find=_texture, needs=_textured),
    ModelField("light_pos", "light", "m", components=_XYZ, needs=_placed),
    ModelField("light_dir", "light", components=_XYZ),
    *(_colour(f"light_{kind}", "light", _RGB) for kind in ("ambient", "diffuse", "specular")),
    ModelField("cam_pos", "camera", "m", components=_XYZ, needs=_fixed),
    ModelField(
        "cam_tilt",
        "camera",
        "rad",
        components=_XYZ,
        operations=("add", "set"),
        one_component=True,
        needs=_fixed,
    ),
    ModelField("cam_fovy", "camera", "degrees", at_least=0.0, open_bound=True, needs=_angle),
)

VISUAL = {entry.name: entry for entry in _FIELDS}
"""The fields that a `visual` parameter may name."""
ARRAYS = frozenset({*VISUAL, "mat_texid", "cam_quat"})
"""The model arrays that these change."""


def check_textures(model: mujoco.MjModel, distribution: Distribution) -> None:
    """UserError unless only numbers of the model's textures are drawn."""
    match distribution:
        case Constant(value):
            drawn: Sequence[float] = (value,)
        case Choice(values):
            drawn = values
        case _:
            drawn = ()
    if not drawn or not {*drawn} <= {*map(float, range(model.ntex))}:
        there = ", ".join(f"{index} {model.tex(index).name}" for index in range(model.ntex))
        raise UserError(f"set: {distribution.describe()}; allowed: one, or a choice, of {there}")


@dataclass(frozen=True, eq=False)
class Tilts:
    """Some `cameras` (c,) turned about the axes of their own frames.

    `nominal` are their quaternions, (c, 4); `writes` fill a table of the angles about x, y and z,
    (c * 3,) in rad, which together are one rotation vector. A camera that is not turned stays as it
    is, bit for bit.
    """

    cameras: IntArray
    nominal: Array
    writes: tuple[Write, ...]

    def apply(self, flat: Flat, rows: IntArray, draws: Array) -> None:
        """Turn the cameras in the worlds `rows` (m, 1) for the draws (m, context)."""
        table = np.zeros((len(draws), 3 * len(self.cameras)))
        for write in self.writes:
            table[:, write.columns] = write.values(draws)
        vectors = table.reshape(len(draws), -1, 3)
        moved = vectors.any(axis=-1, keepdims=True)
        turned = np.where(moved, self._turned(vectors), self.nominal)
        columns = (4 * self.cameras[:, None] + np.arange(4)).reshape(-1)
        flat("cam_quat")[rows, columns] = turned.reshape(len(draws), -1)

    def _turned(self, vectors: Array) -> Array:
        """The quaternions, (m, c, 4), after turns by `vectors` (m, c, 3): the product q p."""
        half = 0.5 * np.linalg.norm(vectors, axis=-1, keepdims=True)
        p = np.concatenate([np.cos(half), 0.5 * np.sinc(half / np.pi) * vectors], axis=-1)
        w, v = self.nominal[:, :1], self.nominal[:, 1:]
        real = w * p[..., :1] - (v * p[..., 1:]).sum(axis=-1, keepdims=True)
        return np.concatenate(
            [real, w * p[..., 1:] + p[..., :1] * v + np.cross(v, p[..., 1:])], axis=-1
        )
