"""Uneven floors: height fields that a model's floor plane is replaced by.

The heights of a field cannot differ from world to world in one batch, but which field the floor
shows (`geom_dataid`) can. So a pool of fields is compiled into the model, and an episode draws the
depth and the shape of its floor from the pool.

A floor lies between the plane and `depth` m below it, and never above: a robot that starts on the
plane never starts inside the terrain. It is level where the robot stands in its default pose, and
reaches 64 wavelengths from there (512 if the robot moves in x alone). Its name, friction, solver
parameters and contact dimension are those of the plane; that a foot touches several facets where
it touched one plane makes the contact a little stiffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from sim2real.domains.binding.builder import Builder
from sim2real.domains.distributions.distribution import (
    SMALLEST,
    Choice,
    Constant,
    Distribution,
)
from sim2real.domains.entries.disturbance import DisturbanceEntry, DisturbanceKind, Form
from sim2real.domains.writes import Write
from sim2real.errors import UserError, unknown
from sim2real.task import Array

DEPTHS, SHAPES = 4, 4
"""How many depths a pool has (one if the depth is a constant), and how many shapes of each."""
DEEPEST = 100.0
"""Depth of the hollows in m, at most."""
WAVELENGTH = 2.0
"""Distance between tops, in m, where none is given."""
FIELD = "bumps:"
"""The prefix of the names of the height fields."""
_CELLS = 4  # of the grid to a wavelength
_BASE = 1.0  # m of terrain below the deepest hollow


@dataclass(frozen=True)
class HeightFieldChoice(Write):
    """Which field of the pool the floor shows, for a depth and a shape."""

    depths: Array

    def values(self, draws: Array) -> Array:
        """Indices of height fields, (m, 1), for the draws (m, context)."""
        depth, shape = draws[:, self.sources].T
        nearest = np.abs(depth[:, None] - self.depths).argmin(axis=1)
        index: Array = self.nominal + (nearest * SHAPES + shape)[:, None]
        return index


def depths(distribution: Distribution) -> Array:
    """The depths of the pool, in m: evenly spread over the quantiles of what was asked for."""
    if isinstance(distribution, Constant):
        return np.array([distribution.value])
    pool: Array = distribution.quantile((np.arange(DEPTHS) + 0.5) / DEPTHS)
    return np.where(pool < SMALLEST, 0.0, pool)


class Bumps(DisturbanceKind):
    """The depth of the hollows of an uneven floor."""

    name, unit, low, high, takes_course, order = "bumps", "m", 0.0, DEEPEST, False, 3
    form = Form(("of", "wavelength"))
    needs_spec: ClassVar[str] = "they need another floor"

    @classmethod
    def check(cls, entry: DisturbanceEntry) -> None:
        """Refuse depths beyond the limits."""
        low, high = entry.distribution.support
        if not cls.low <= low <= high <= cls.high:
            raise ValueError(f"bumps must lie within 0 to {cls.high:g} m, got {entry.amount()}")

    @classmethod
    def edit(cls, spec: mujoco.MjSpec, entry: DisturbanceEntry, domain: str) -> None:
        """Replace the floor by a pool of height fields.

        Raises UserError where nothing stands on a plane, or where bumps are asked for twice.
        """
        if any(field.name.startswith(FIELD) for field in spec.hfields):
            raise UserError(f"domain {domain!r}: bumps are given twice; a floor has one shape")
        if depths(entry.distribution).max() > 0:
            _replace_floor(spec, entry, domain)

    @classmethod
    def bind(cls, builder: Builder, entry: DisturbanceEntry) -> None:
        """Bind the floor's depth and shape: the context entries `bumps` and `bumps:shape`."""
        pool = depths(entry.distribution)
        drawn = Constant(pool[0]) if len(pool) == 1 else Choice(tuple(pool.tolist()))
        sources = builder.draws(entry.label, [""], drawn, shared=True)
        if pool.max() == 0:
            return
        shapes = Choice(tuple(map(float, range(SHAPES))))
        sources += builder.draws(f"{entry.label}:shape", [""], shapes, shared=True)
        model = builder.model
        last = model.hfield(f"{FIELD}{model.nhfield - 1}").id
        is_field = model.geom_type == mujoco.mjtGeom.mjGEOM_HFIELD
        floor = np.flatnonzero(is_field & (model.geom_dataid == last))
        first = np.array([float(model.nhfield - len(pool) * SHAPES)])
        builder.writes.append(
            HeightFieldChoice("geom_dataid", floor, np.array(sources), first, "set", pool)
        )


def _replace_floor(spec: mujoco.MjSpec, entry: DisturbanceEntry, domain: str) -> None:
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    floor = _floor(model, data, entry.of, domain)
    pool, deepest = depths(entry.distribution), depths(entry.distribution).max()
    surfaces, half_sizes = _surfaces(model, data, floor, entry.wavelength or WAVELENGTH)
    for depth in pool:
        for surface in surfaces:
            # 1 is the plane and 0 the deepest hollow of the pool; the compiler stretches the data
            # to that range, so that one corner is pinned to it
            heights = 1.0 - depth / deepest * surface
            heights[-1, -1] = 0.0
            spec.add_hfield(
                name=f"{FIELD}{len(spec.hfields)}",
                nrow=heights.shape[0],
                ncol=heights.shape[1],
                size=[*half_sizes, deepest, _BASE],
                userdata=heights.ravel(),
            )
    geom = spec.geoms[floor]
    geom.type = mujoco.mjtGeom.mjGEOM_HFIELD
    geom.hfieldname = spec.hfields[-1].name
    geom.pos = model.geom_pos[floor] - deepest * data.geom_xmat[floor].reshape(3, 3)[:, 2]
    # what images take for the size of the world
    spec.stat.extent, spec.stat.center = model.stat.extent, model.stat.center
    spec.stat.meansize = model.stat.meansize


def _floor(model: mujoco.MjModel, data: mujoco.MjData, of: tuple[str, ...], domain: str) -> int:
    """The plane that the robot stands on."""
    planes = {
        model.geom(i).name or f"#{i}": i
        for i in range(model.ngeom)
        if model.geom_type[i] == mujoco.mjtGeom.mjGEOM_PLANE and model.geom_bodyid[i] == 0
    }
    for name in of:
        if name not in planes:
            raise unknown(f"floor plane in domain {domain!r}", name, planes)
    chosen = [planes[name] for name in of or planes]
    standing = [floor for floor in chosen if _stands(model, data, floor)]
    if len(standing) != 1:
        found = ", ".join(planes) or "none"
        raise UserError(
            f"domain {domain!r}: bumps need one plane that the robot stands on; planes of the "
            f"model: {found}"
        )
    return standing[0]


def _stands(model: mujoco.MjModel, data: mujoco.MjData, floor: int) -> bool:
    """Whether something that can touch the plane is no farther from it than it is tall itself."""
    touching = _touching(model, floor)
    if not len(touching) or not model.opt.gravity.any():
        return False
    height = _in_floor_frame(data, floor, touching)[:, 2]
    lowest = (height - model.geom_rbound[touching]).min()
    highest = (height + model.geom_rbound[touching]).max()
    return bool(lowest <= highest - lowest)


def _touching(model: mujoco.MjModel, floor: int) -> NDArray[np.intp]:
    """The moving geoms that collide with the plane."""
    types, affinities = model.geom_contype, model.geom_conaffinity
    collides = (types & affinities[floor]) | (types[floor] & affinities)
    return np.flatnonzero((collides != 0) & (model.body_weldid[model.geom_bodyid] != 0))


def _in_floor_frame(data: mujoco.MjData, floor: int, geoms: NDArray[np.intp]) -> Array:
    frame = data.geom_xmat[floor].reshape(3, 3)
    positions: Array = (data.geom_xpos[geoms] - data.geom_xpos[floor]) @ frame
    return positions


def _surfaces(
    model: mujoco.MjModel, data: mujoco.MjData, floor: int, wavelength: float
) -> tuple[list[Array], tuple[float, float]]:
    """Hollows between 0 and 1, (rows along y, columns along x), and half sizes in m along x, y.

    Smoothed white noise (between its tops lie on average 2 pi sqrt(2/3) = 5.1 deviations of the
    filter), made uniform between 0 and 1; 0 around the robot.
    """
    cell = wavelength / _CELLS
    planar = not _moves_along_y(model)
    rows, columns = (3, 4097) if planar else (513, 513)
    half_x, half_y = cell * (columns - 1) / 2, max(cell * (rows - 1) / 2, 4 * wavelength)
    x = np.linspace(-half_x, half_x, columns)
    y = np.linspace(-half_y, half_y, rows)
    touching = _touching(model, floor)
    places = _in_floor_frame(data, floor, touching)[:, :2]
    centre = (places.min(axis=0) + places.max(axis=0)) / 2
    radius = (np.linalg.norm(places - centre, axis=1) + model.geom_rbound[touching]).max()
    radius += 2 * cell  # whole cells under the robot are level
    across = np.zeros(rows) if planar else y - centre[1]
    away = np.clip((np.hypot(x - centre[0], across[:, None]) - radius) / wavelength, 0.0, 1.0)
    surfaces = []
    for shape in range(SHAPES):
        noise = np.random.default_rng(shape).standard_normal((1 if planar else rows, columns))
        smooth = gaussian_filter(noise, (0 if planar else _CELLS / 5.13, _CELLS / 5.13))
        surfaces.append(ndtr(smooth / smooth.std()) * away**2 * (3 - 2 * away))
    return surfaces, (half_x, half_y)


def _moves_along_y(model: mujoco.MjModel) -> bool:
    """Whether a joint of a body in the world lets it move along y."""
    for joint in range(model.njnt):
        if model.body_parentid[model.jnt_bodyid[joint]] != 0:
            continue
        free = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE
        slides = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
        if free or (slides and abs(model.jnt_axis[joint, 1]) > 1e-9):
            return True
    return False
