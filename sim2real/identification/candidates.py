"""What a robot may have besides: entries that a family can be given, with ranges from the model.

Every entry leaves the nominal world as it is at its nominal value, which the prior prefers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

from sim2real.domains import Domain
from sim2real.domains.models.matching import joint_names
from sim2real.evaluation.audit.parts import SECTIONS
from sim2real.simulation import Simulation
from sim2real.task import Array, IntArray, Task

DRY, INERTIA = 0.1, 1.0
"""Largest dry friction, as a share of the usual force of an actuator at its joint, and largest
armature, as a share of the usual inertia there."""
SHIFT = 0.03
"""Shift of a logarithmic range that begins at 0, as a share of its largest value, where the nominal
value is 0. Above it the scale is that of masses and strengths, so that one factor on all of them is
a straight line. Where the nominal value is larger, it is the shift: then the line is exact."""
LATEST, SLOWEST = 4, 2
"""Control steps that a command is late, at most, and the largest time constant of an actuator."""
DEAD, PLAY = 0.1, 0.1
"""Largest dead zone, as a share of half the control range, and play of a joint, in rad or m."""
OFFSET = 0.1
"""Largest bias of a sensor, in the unit of its term."""
WIND = 0.2
"""Largest constant force on a body, as a share of the robot's weight."""
FACTOR = 2.0
"""A factor lies between 1 / FACTOR and FACTOR."""
EACH = 8
"""Moving bodies that have a mass of their own each, at most; more share one factor."""

Sections = dict[str, list[dict[str, Any]]]


def candidates(task: Task) -> dict[str, Sections]:
    """The entries by name, each alone in its section of a domain."""
    model = task.compile()
    found: dict[str, Sections] = dict(_of_joints(model))
    found |= {
        "delay": {"actuation": [{"delay": {"uniform": [0.0, LATEST * task.control_dt]}}]},
        "lag": {"actuation": [_shared("lag", SLOWEST * task.control_dt)]},
        "backlash": {"actuation": [_shared("backlash", PLAY)]},
    }
    if model.nu and model.actuator_ctrllimited.all():
        half = 0.5 * float(np.median(np.ptp(model.actuator_ctrlrange, axis=1)))
        found["dead_zone"] = {"actuation": [_shared("dead_zone", DEAD * half)]}
    found |= {
        f"sensor_bias:{term.name}": {
            "sensing": [{"bias": {"uniform": [-OFFSET, OFFSET]}, "of": term.name}]
        }
        for term in Simulation(task, None, 1, threads=1).policy_terms
        if not term.commanded
    }
    root = model.body(1).name
    if root:
        force = WIND * float(model.body_mass.sum()) * 9.81
        wind = {"force": {"uniform": [-force, force]}, "of": root, "direction": "x"}
        found["force.x"] = {"disturbances": [wind]}
    return found


def plain_family(task: Task) -> Domain:
    """A family of any task: masses, frictions, strengths and delays."""
    model = task.compile()
    factor = {"log_uniform": [1 / FACTOR, FACTOR]}
    few = model.nbody - 1 <= EACH
    named = [model.body(i).name for i in range(1, model.nbody) if model.body_mass[i] > 0]
    masses = {"field": "body_mass", "scale": factor, "shared": not few}
    if few and all(named):
        masses["of"] = named
    dynamics: list[dict[str, Any]] = [masses]
    if model.ngeom and (model.geom_contype | model.geom_conaffinity).any():
        dynamics.append(
            {"field": "geom_friction", "component": "sliding", "scale": factor, "shared": True}
        )
    if (model.dof_damping > 0).any():
        dynamics.append({"field": "dof_damping", "scale": factor, "shared": True})
    late = {"delay": {"uniform": [0.0, LATEST * task.control_dt]}}
    return Domain.model_validate(
        {
            "name": "plain",
            "dynamics": dynamics,
            "actuation": [{"strength": factor}, late] if model.nu else [],
        }
    )


def added_to(domain: Domain, sections: Sections) -> Domain:
    """The domain with more entries."""
    more = Domain.model_validate(sections)
    update = {name: (*getattr(domain, name), *getattr(more, name)) for name in SECTIONS}
    return domain.model_copy(update=update)


def has_kind(domain: Domain, sections: Sections) -> bool:
    """Whether the domain has an entry of the same field or kind, of whatever elements."""
    more = Domain.model_validate(sections)
    return any(
        _kind(one) == _kind(other)
        for section in SECTIONS
        for one in getattr(domain, section)
        for other in getattr(more, section)
    )


def _kind(entry: Any) -> str:
    return str(getattr(entry, "field", None) or entry.kind.name)


def _shared(kind: str, most: float) -> dict[str, Any]:
    return {kind: {"uniform": [0.0, most]}, "shared": True}


def _of_joints(model: mujoco.MjModel) -> Iterator[tuple[str, Sections]]:
    """Dry friction and armature of the joints that actuators drive."""
    joints, dofs = driven(model)
    if not joints:
        return
    force = float(np.median(joint_forces(model))) * DRY
    inertia = float(np.median(model.dof_M0[dofs])) * INERTIA
    for field, most in (("dof_frictionloss", force), ("dof_armature", inertia)):
        if most > 0:
            entry = {"field": field, "of": joints, "shared": True}
            nominal = float(np.median(getattr(model, field)[dofs]))
            added = {"shifted_log_uniform": [0.0, most, max(SHIFT * most, nominal)]}
            yield field, {"dynamics": [{**entry, "add": added}]}


def driven(model: mujoco.MjModel) -> tuple[list[str], IntArray]:
    """Names and degrees of freedom of the hinges and slides that actuators drive."""
    names = joint_names(model)
    plain = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    rows = [
        joint
        for joint in dict.fromkeys(model.actuator_trnid[_on_joints(model), 0].tolist())
        if int(model.jnt_type[joint]) in plain
    ]
    return [names[row] for row in rows], model.jnt_dofadr[rows]


def joint_forces(model: mujoco.MjModel) -> Array:
    """The largest force of each actuator on a joint, in N or N m; 1 where there is no limit."""
    rows = _on_joints(model)
    limited = model.actuator_forcelimited[rows].astype(bool)
    by_range = np.abs(model.actuator_forcerange[rows]).max(axis=1, initial=0.0)
    by_control = np.abs(model.actuator_gainprm[rows, 0]) * np.abs(
        model.actuator_ctrlrange[rows]
    ).max(axis=1, initial=0.0)
    forces = np.where(limited, by_range, by_control) * np.abs(model.actuator_gear[rows, 0])
    found: Array = np.where(forces > 0, forces, 1.0)
    return found


def _on_joints(model: mujoco.MjModel) -> IntArray:
    return np.flatnonzero(model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT)
