"""Names of another model's elements: renamed to those of the task before it is compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
from pydantic import Field

from sim2real.config import Config
from sim2real.errors import UserError, unknown

Names = dict[str, str]
_OBJECTS = {
    mujoco.mjtObj.mjOBJ_JOINT: "joints",
    mujoco.mjtObj.mjOBJ_ACTUATOR: "actuators",
    mujoco.mjtObj.mjOBJ_SENSOR: "sensors",
    mujoco.mjtObj.mjOBJ_BODY: "bodies",
    mujoco.mjtObj.mjOBJ_XBODY: "bodies",
    mujoco.mjtObj.mjOBJ_GEOM: "geoms",
    mujoco.mjtObj.mjOBJ_SITE: "sites",
}
_TRANSMISSIONS = {
    mujoco.mjtTrn.mjTRN_JOINT: "joints",
    mujoco.mjtTrn.mjTRN_JOINTINPARENT: "joints",
    mujoco.mjtTrn.mjTRN_BODY: "bodies",
    mujoco.mjtTrn.mjTRN_SITE: "sites",
}


_WRAPS = {
    mujoco.mjtWrap.mjWRAP_JOINT: "joints",
    mujoco.mjtWrap.mjWRAP_SITE: "sites",
    mujoco.mjtWrap.mjWRAP_SPHERE: "geoms",
    mujoco.mjtWrap.mjWRAP_CYLINDER: "geoms",
    mujoco.mjtWrap.mjWRAP_PULLEY: "",
}
_TENDON = (
    *("actfrclimited", "actfrcrange", "armature", "damping", "frictionloss", "group", "limited"),
    *("margin", "material", "range", "rgba", "solimp_friction", "solimp_limit"),
    *("solref_friction", "solref_limit", "springlength", "springyield", "stiffness"),
    *("userdata", "width"),
)
"""The attributes of a tendon besides its path and name."""
_SENSOR = (
    *("objtype", "objname", "reftype", "refname", "cutoff", "noise", "needstage"),
    *("datatype", "dim"),
)
"""The attributes of a sensor besides its name, its type and its whole numbers."""


class _Wrap(NamedTuple):
    """One step of a tendon's path: the element, the site beside a geom, the coefficient."""

    kind: str
    target: str
    sidesite: str
    number: float


class NameMapping(Config):
    """By kind: the name in the task's model -> the name in the domain's model."""

    joints: Names = Field(default_factory=dict)
    actuators: Names = Field(default_factory=dict)
    sensors: Names = Field(default_factory=dict)
    bodies: Names = Field(default_factory=dict)
    geoms: Names = Field(default_factory=dict)
    sites: Names = Field(default_factory=dict)


KINDS = tuple(NameMapping.model_fields)


def names_of(spec: mujoco.MjSpec, kind: str) -> list[str]:
    """The names of a model's joints, actuators, ...; without those that have none."""
    return [element.name for element in getattr(spec, kind) if element.name]


def rename(spec: mujoco.MjSpec, mapping: NameMapping, own: mujoco.MjSpec, where: str) -> None:
    """Call the elements of `spec` as they are called in `own`, the task's model.

    A free joint without a name is taken for the task's. Raises UserError, with the nearest match,
    for a name that either model does not have, and for two elements of one name.
    """
    renamed: dict[str, Names] = {}
    for kind in KINDS:
        wanted: Names = getattr(mapping, kind)
        theirs = names_of(spec, kind)
        for ours, other in wanted.items():
            if ours not in names_of(own, kind):
                raise unknown(f"name in {kind} of the task", ours, names_of(own, kind))
            if other not in theirs:
                raise unknown(f"name in {kind} of {where}", other, theirs)
        renamed[kind] = {other: ours for ours, other in wanted.items()}
        after = [renamed[kind].get(name, name) for name in theirs]
        if twice := sorted({name for name in after if after.count(name) > 1}):
            raise UserError(f"{where}: the mapping makes two {kind} of one name: {twice[0]}")
    _rename_references(spec, renamed)
    paths = _tendon_paths(spec, renamed)
    for kind, names in renamed.items():
        chosen = [element for element in getattr(spec, kind) if element.name in names]
        final = [names[element.name] for element in chosen]
        for number, element in enumerate(chosen):  # temporary names: two may be exchanged
            element.name = f"renamed {number}"
        for element, name in zip(chosen, final, strict=True):
            element.name = name
    _name_free_joint(spec, own)
    _name_actuators(spec, own)
    if paths:
        _build_tendons(spec, paths)


def _name_actuators(spec: mujoco.MjSpec, own: mujoco.MjSpec) -> None:
    """Give an actuator the task's name, or none, where one of the two has none.

    They are the same if they alone drive a joint.
    """
    ours, theirs = (_by_joint(one) for one in (own, spec))
    for joint, drives in ours.items():
        pair = [*drives, *theirs.get(joint, [])]
        if len(drives) == 1 and len(pair) == 2 and not all(one.name for one in pair):
            pair[1].name = pair[0].name


def _by_joint(spec: mujoco.MjSpec) -> dict[str, list[Any]]:
    """Joint -> the actuators that drive it."""
    found: dict[str, list[Any]] = {}
    for actuator in spec.actuators:
        if _TRANSMISSIONS.get(actuator.trntype) == "joints":
            found.setdefault(actuator.target, []).append(actuator)
    return found


def _tendon_paths(spec: mujoco.MjSpec, renamed: Mapping[str, Names]) -> list[list[_Wrap]]:
    """The path of every tendon with the new names; empty where no name of a path changes."""
    paths = [[_wrap(wrap) for wrap in tendon.path] for tendon in spec.tendons]
    after = [
        [
            wrap._replace(
                target=renamed.get(wrap.kind, {}).get(wrap.target, wrap.target),
                sidesite=renamed["sites"].get(wrap.sidesite, wrap.sidesite),
            )
            for wrap in path
        ]
        for path in paths
    ]
    return after if after != paths else []


def _wrap(wrap: Any) -> _Wrap:
    kind = _WRAPS[wrap.type]
    target = wrap.target.name if kind else ""
    side = wrap.sidesite.name if kind == "geoms" and wrap.sidesite is not None else ""
    return _Wrap(kind, target, side, wrap.coef if kind == "joints" else wrap.divisor)


def _build_tendons(spec: mujoco.MjSpec, paths: Sequence[Sequence[_Wrap]]) -> None:
    """Make every tendon anew: what a path names cannot be changed."""
    for old, path in zip(list(spec.tendons), paths, strict=True):
        new = spec.add_tendon()
        for attribute in _TENDON:
            value = getattr(old, attribute)
            if isinstance(value, np.ndarray):
                getattr(new, attribute)[:] = value
            else:
                setattr(new, attribute, value)
        name = old.name
        for wrap in path:
            if wrap.kind == "joints":
                new.wrap_joint(wrap.target, wrap.number)
            elif wrap.kind == "geoms":
                new.wrap_geom(wrap.target, wrap.sidesite)
            elif wrap.kind == "sites":
                new.wrap_site(wrap.target)
            else:
                new.wrap_pulley(wrap.number)
        spec.delete(old)
        new.name = name


def _name_free_joint(spec: mujoco.MjSpec, own: mujoco.MjSpec) -> None:
    free = mujoco.mjtJoint.mjJNT_FREE
    theirs = [joint for joint in spec.joints if joint.type == free and not joint.name]
    ours = [joint.name for joint in own.joints if joint.type == free and joint.name]
    missing = [name for name in ours if name not in names_of(spec, "joints")]
    if len(theirs) == len(missing) == 1:
        theirs[0].name = missing[0]


def _rename_references(spec: mujoco.MjSpec, renamed: Mapping[str, Names]) -> None:
    for owner, attribute, kind in _references(spec):
        name = getattr(owner, attribute)
        if kind in renamed and name in renamed[kind]:
            setattr(owner, attribute, renamed[kind][name])


def _references(spec: mujoco.MjSpec) -> Iterator[tuple[Any, str, str]]:
    """Every place that names an element: its owner, the attribute, and the kind of element."""
    for actuator in spec.actuators:
        yield actuator, "target", _TRANSMISSIONS.get(actuator.trntype, "")
        yield actuator, "refsite", "sites"
        yield actuator, "slidersite", "sites"
    for sensor in spec.sensors:
        yield sensor, "objname", _OBJECTS.get(sensor.objtype, "")
        yield sensor, "refname", _OBJECTS.get(sensor.reftype, "")
    for equality in spec.equalities:
        joint = equality.type == mujoco.mjtEq.mjEQ_JOINT
        kind = "joints" if joint else _OBJECTS.get(equality.objtype, "")
        yield equality, "name1", kind
        yield equality, "name2", kind
    for exclude in spec.excludes:
        yield exclude, "bodyname1", "bodies"
        yield exclude, "bodyname2", "bodies"
    for pair in spec.pairs:
        yield pair, "geomname1", "geoms"
        yield pair, "geomname2", "geoms"
    for seen in (*spec.lights, *spec.cameras):
        yield seen, "targetbody", "bodies"


def add_sensors(spec: mujoco.MjSpec, own: mujoco.MjSpec) -> list[str]:
    """Give `spec` the task's sensors that it lacks, where it has what they are attached to.

    A site that is missing is added at the same place of its body, if that is there.
    Returns a description of what is missing.
    """
    has = names_of(spec, "sensors")
    missing = []
    for sensor in own.sensors:
        if not sensor.name or sensor.name in has:
            continue
        lacking = [
            f"{kind}: {name}"
            for name, kind in (
                (sensor.objname, _OBJECTS.get(sensor.objtype, "")),
                (sensor.refname, _OBJECTS.get(sensor.reftype, "")),
            )
            if kind and name and name != "world" and not _provided(spec, own, kind, name)
        ]
        if lacking:
            missing.append(f"sensor {sensor.name} cannot be added, missing in {lacking[0]}")
            continue
        added = spec.add_sensor(name=sensor.name, type=sensor.type)
        for attribute in _SENSOR:
            setattr(added, attribute, getattr(sensor, attribute))
        added.intprm[:] = sensor.intprm
    return missing


def _provided(spec: mujoco.MjSpec, own: mujoco.MjSpec, kind: str, name: str) -> bool:
    """Whether `spec` has an element now: a site is added at its place, if its body is there."""
    if name in names_of(spec, kind):
        return True
    if kind != "sites":
        return False
    site = own.site(name)
    body = site.parent.name
    if body not in names_of(spec, "bodies"):
        return False
    added = spec.body(body).add_site(name=name, type=site.type, group=site.group)
    for attribute in ("pos", "quat", "size"):
        getattr(added, attribute)[:] = getattr(site, attribute)
    return True
