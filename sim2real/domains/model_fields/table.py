"""The one table of what a domain may change in a model, and how each quantity is indexed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.domains.model_fields import actuators
from sim2real.domains.model_fields import requirements as limits
from sim2real.domains.model_fields.inertia import LOG_CHOLESKY, log_cholesky, pseudo_inertia
from sim2real.domains.model_fields.locations import Follower, Place, Quantity
from sim2real.errors import unknown

ElementKind = Literal[
    "body",
    "joint",
    "qpos",
    "dof",
    "geom",
    "pair",
    "equality",
    "site",
    "tendon",
    "actuator",
    "option",
    "camera",
    "light",
    "mat",
]

Needs = Callable[[mujoco.MjModel, int], str]
"""Why a change of a row of a model has no effect; empty where it has one."""

_XYZ = {"x": 0, "y": 1, "z": 2}
_ENDS = {"lower": 0, "upper": 1}
_FRICTION = {"sliding": 0, "torsional": 1, "rolling": 2}
_SOLREF = {"timeconst": 0, "dampratio": 1}
_SOLIMP = {"dmin": 0, "dmax": 1, "width": 2, "midpoint": 3, "power": 4}
_SOLIMP_BOUNDS = {
    "dmin": (0.0, 1.0),
    "dmax": (0.0, 1.0),
    "width": (0.0, np.inf),
    "midpoint": (0.0, 1.0),
    "power": (1.0, np.inf),
}


@dataclass(frozen=True)
class ModelField:
    """One quantity of the model.

    `components` names the columns of a quantity with several; `follows` are fields scaled by the
    same ratio so that the model stays physical; `at_least` is the smallest value that makes sense
    (`open_bound`: that value itself is excluded).
    """

    name: str
    kind: ElementKind
    unit: str = ""
    components: Mapping[str, int] = field(default_factory=dict)
    follows: tuple[str, ...] = ()
    at_least: float = -np.inf
    open_bound: bool = False
    columns: tuple[int, ...] | None = None
    """The columns of a row that are meant where no component is named; None for all of them."""
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Smallest and largest value of each component, where they differ."""
    keeps_sign: bool = False
    """Whether a value must have the sign of the nominal one, and not be 0."""
    operations: tuple[str, ...] = ("scale", "add", "set")
    one_component: bool = False
    """Whether a component must be named."""
    needs: Needs | None = None
    find: Callable[[mujoco.MjModel, int, int], Quantity] | None = None
    """Where a row's component lies, of quantities that are no array of their own."""
    not_0: bool = False
    """Whether a nominal value of 0 means that the row has no such number."""
    unlocks: bool = False
    """Whether it takes mass matrices that are not compiled as diagonal ones."""
    geometry: bool = False
    """Whether it takes a model compiled anew; those are drawn from a pool of variants."""


def _field(name: str, kind: ElementKind, unit: str = "", **options: object) -> ModelField:
    return ModelField(name, kind, unit, **options)  # type: ignore[arg-type]


def _tilt(name: str, kind: ElementKind, **options: object) -> ModelField:
    """A rotation about one axis of an element's frame, in rad."""
    return _field(
        name,
        kind,
        "rad",
        components=_XYZ,
        operations=("add", "set"),
        one_component=True,
        geometry=True,
        **options,
    )


def _softness(
    prefix: str, kind: ElementKind, needs: Needs | None = None
) -> tuple[ModelField, ModelField]:
    """The compliance of a constraint: `solref` and `solimp`."""
    return (
        _field(f"{prefix}_solref", kind, components=_SOLREF, keeps_sign=True, needs=needs),
        _field(
            f"{prefix}_solimp",
            kind,
            components=_SOLIMP,
            bounds=_SOLIMP_BOUNDS,
            one_component=True,
            needs=needs,
        ),
    )


def _range(name: str, kind: ElementKind, unit: str, flag: str) -> ModelField:
    """Two limits, in effect where the `flag` of the row is on."""
    return _field(name, kind, unit, components=_ENDS, needs=limits.limited(flag))


def _pair_friction(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    """Friction of a contact pair: sliding and rolling friction have a number for each direction."""
    columns = ((0, 1), (2,), (3, 4))[column]
    places = tuple(Place("pair_friction", 5 * row + one) for one in columns)
    return Quantity(places, (), places[:1])


_FIELDS = (
    # bodies
    _field("body_mass", "body", "kg", follows=("body_inertia",), at_least=0.0, open_bound=True),
    _field("body_inertia", "body", "kg m²", at_least=0.0, open_bound=True),
    _field("body_ipos", "body", "m", components=_XYZ, needs=limits.full_inertia, unlocks=True),
    _field(
        "body_pseudo_inertia",
        "body",
        components=LOG_CHOLESKY,
        operations=("add", "set"),
        one_component=True,
        needs=limits.full_inertia,
        unlocks=True,
    ),
    _field(
        "payload",
        "body",
        "kg; x, y, z in m",
        components={"mass": 0, "x": 1, "y": 2, "z": 3},
        bounds={"mass": (0.0, np.inf)},
        columns=(0,),
        operations=("add", "set"),
        needs=limits.full_inertia,
        unlocks=True,
    ),
    _field("body_gravcomp", "body", "of the weight", at_least=0.0, needs=limits.falls),
    # geoms
    _field("geom_friction", "geom", components=_FRICTION, at_least=0.0),
    *_softness("geom", "geom"),
    _field("geom_margin", "geom", "m", at_least=0.0),
    # pairs of geoms that the MJCF lists
    _field("pair_friction", "pair", components=_FRICTION, at_least=0.0, find=_pair_friction),
    *_softness("pair", "pair"),
    _field("pair_margin", "pair", "m", at_least=0.0),
    # equality constraints
    *_softness("eq", "equality", needs=limits.limited("eq_active0")),
    # joints
    _field("dof_damping", "dof", "N s/m or N m s/rad", at_least=0.0),
    _field("dof_frictionloss", "dof", "N or N m", at_least=0.0),
    _field("dof_armature", "dof", "kg or kg m²", at_least=0.0),
    _field("jnt_stiffness", "joint", "N/m or N m/rad", at_least=0.0),
    _range("jnt_range", "joint", "m or rad", "jnt_limited"),
    *_softness("jnt", "joint", needs=limits.limited("jnt_limited")),
    _range("jnt_actfrcrange", "joint", "N or N m", "jnt_actfrclimited"),
    _field("qpos0", "qpos", "m or rad"),
    _field("qpos_spring", "qpos", "m or rad"),
    # tendons
    _field("tendon_stiffness", "tendon", "N/m", at_least=0.0),
    _field("tendon_damping", "tendon", "N s/m", at_least=0.0),
    _field("tendon_frictionloss", "tendon", "N", at_least=0.0),
    _field("tendon_armature", "tendon", "kg", at_least=0.0, unlocks=True),
    _field("tendon_lengthspring", "tendon", "m", components=_ENDS),
    _range("tendon_range", "tendon", "m", "tendon_limited"),
    # actuators
    _field("actuator_gain", "actuator", follows=("actuator_biasprm",), find=actuators.gain),
    _field("actuator_gear", "actuator", columns=(0,)),
    _range("actuator_forcerange", "actuator", "N or N m", "actuator_forcelimited"),
    _field("actuator_damping", "actuator", at_least=0.0, needs=limits.nonzero("actuator_damping")),
    _field(
        "actuator_armature", "actuator", at_least=0.0, needs=limits.nonzero("actuator_armature")
    ),
    _field(
        "time_constant",
        "actuator",
        "s",
        at_least=0.0,
        open_bound=True,
        find=actuators.time_constant,
    ),
    _field("torque_limit", "actuator", "N or N m", at_least=0.0, find=actuators.torque_limit),
    _field("kp", "actuator", "N/m or N m/rad", at_least=0.0, find=actuators.kp),
    _field("kv", "actuator", "N s/m or N m s/rad", at_least=0.0, find=actuators.kv),
    _field(
        "dcmotor",
        "actuator",
        components=actuators.DC_MOTOR,
        bounds=actuators.DC_MOTOR_BOUNDS,
        one_component=True,
        find=actuators.dcmotor,
    ),
    # the world
    _field("opt.gravity", "option", "m/s²", components=_XYZ),
    _field("opt.wind", "option", "m/s", components=_XYZ),
    _field("opt.timestep", "option", "s", at_least=0.0, open_bound=True),
    _field("opt.iterations", "option", at_least=1.0),
    _field("opt.tolerance", "option", at_least=0.0),
    _field("opt.impratio", "option", at_least=0.0, open_bound=True),
    _field("opt.viscosity", "option", "Pa s", at_least=0.0),
    _field("opt.density", "option", "kg/m³", at_least=0.0),
    # geometry, through variants of the model
    _field(
        "link_length",
        "body",
        components={"x": 1, "y": 2, "z": 3},
        at_least=0.0,
        open_bound=True,
        columns=(0,),
        operations=("scale",),
        geometry=True,
        needs=limits.stretchable,
    ),
    _field(
        "geom_size",
        "geom",
        "m",
        components={**_XYZ, "radius": 0, "half_length": 1},
        at_least=0.0,
        open_bound=True,
        geometry=True,
        not_0=True,
        needs=limits.primitive,
    ),
    _field("geom_pos", "geom", "m", components=_XYZ, geometry=True, needs=limits.primitive),
    _field("body_pos", "body", "m", components=_XYZ, geometry=True),
    _tilt("body_tilt", "body"),
    _field("jnt_pos", "joint", "m", components=_XYZ, geometry=True, needs=limits.rotates),
    _tilt("jnt_tilt", "joint", needs=limits.has_axis),
    _field("site_pos", "site", "m", components=_XYZ, geometry=True),
    _tilt("site_tilt", "site"),
)

FIELDS = {entry.name: entry for entry in _FIELDS}
"""The fields that a `dynamics` parameter may name."""
STRENGTH = ModelField("strength", "actuator", find=actuators.strength, operations=("scale",))
"""The force of an actuator: gain, bias and force limit together."""


def nominal_array(model: mujoco.MjModel, name: str) -> NDArray[np.float64]:
    """A field of the nominal model as (rows, columns) numbers; options have one row."""
    if name.startswith("opt."):
        return np.atleast_2d(np.asarray(getattr(model.opt, name[4:]), dtype=np.float64))
    if name in TABLES:
        return TABLES[name](model)
    values = np.asarray(getattr(model, name), dtype=np.float64)
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _log_cholesky(model: mujoco.MjModel) -> NDArray[np.float64]:
    """The parameters of each body, (nbody, 10); NaN where its inertia is not physical."""
    table = np.full((model.nbody, 10), np.nan)
    for body in range(model.nbody):
        parts = (model.body_mass, model.body_inertia, model.body_ipos, model.body_iquat)
        try:
            table[body] = log_cholesky(pseudo_inertia(*(part[body] for part in parts)))
        except np.linalg.LinAlgError:
            continue
    return table


TABLES: dict[str, Callable[[mujoco.MjModel], NDArray[np.float64]]] = {
    "body_pseudo_inertia": _log_cholesky,
    "payload": lambda model: np.zeros((model.nbody, 4)),
    "link_length": lambda model: np.ones((model.nbody, 4)),
    "body_tilt": lambda model: np.zeros((model.nbody, 3)),
    "jnt_tilt": lambda model: np.zeros((model.njnt, 3)),
    "site_tilt": lambda model: np.zeros((model.nsite, 3)),
    "cam_tilt": lambda model: np.zeros((model.ncam, 3)),
}
"""Quantities that are no array of a model, but are computed into several: their nominal values."""


def component_columns(entry: ModelField, component: str | None, width: int) -> list[int]:
    """The columns that `component` names; UserError for a wrong name."""
    if component is None:
        return list(range(width)) if entry.columns is None else list(entry.columns)
    if component not in entry.components:
        raise unknown(f"component of {entry.name}", component, entry.components)
    return [entry.components[component]]


def find_entry(
    model: mujoco.MjModel, entry: ModelField, row: int, column: int, width: int
) -> Quantity:
    """Where one number of a quantity lies in the model; UserError if the row has no such number."""
    if entry.find is not None:
        return entry.find(model, row, column)
    place = Place(entry.name, row * width + column)
    followers = tuple(
        Follower(name, flat)
        for name in entry.follows
        for flat in _nonzero(nominal_array(model, name), row)
    )
    return Quantity((place,), followers, (place,))


def _nonzero(values: NDArray[np.float64], row: int) -> list[int]:
    return [row * values.shape[1] + int(column) for column in np.flatnonzero(values[row])]
