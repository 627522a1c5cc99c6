"""A target that is another model: the differences from the task's own, and their effects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.domains import Domain, prepare
from sim2real.domains.models.other_model import notes_of
from sim2real.evaluation.audit.differences import Difference, differences, geoms, only_in_one
from sim2real.evaluation.audit.effects import Effect, is_clear, of_states, times_noise
from sim2real.evaluation.audit.findings import End, Finding
from sim2real.evaluation.audit.motions import TWIN
from sim2real.evaluation.audit.reasons import Case, why_nothing, why_other_friction
from sim2real.evaluation.audit.states import Contacts, Forces, States, probe_states, twin_states
from sim2real.evaluation.audit.worlds import Reference
from sim2real.simulation.warnings import warnings_logged
from sim2real.task import Array, IntArray, Task

STEPS = 5
"""Physics steps of each short motion."""
MOST = 60
"""States probed, at most."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """Per state: accelerations (s, nv), actuator forces (s, nu), sensors (s, nsensordata), and how
    far positions and velocities get in a few steps, (s, nq + nv)."""

    acceleration: Array
    force: Array
    sensors: Array
    motion: Array


def fewer(states: States) -> States:
    """At most `MOST` of the states, spread evenly."""
    chosen = np.unique(np.linspace(0, len(states.qpos) - 1, MOST).astype(int))
    return States(states.qpos[chosen], states.qvel[chosen], states.ctrl[chosen])


def behaviour(model: mujoco.MjModel, states: States) -> Behaviour:
    """The behaviour of the model in each of the states, from a cold start of the solver."""
    data = mujoco.MjData(model)
    rows = []
    with warnings_logged():
        for qpos, qvel, ctrl in zip(states.qpos, states.qvel, states.ctrl, strict=True):
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, ctrl
            mujoco.mj_forward(model, data)
            now = (data.qacc.copy(), data.actuator_force.copy(), data.sensordata.copy())
            for _ in range(STEPS):
                mujoco.mj_step(model, data)
            rows.append((*now, np.concatenate([data.qpos - qpos, data.qvel])))
    return Behaviour(*(np.array(column) for column in zip(*rows, strict=True)))


def compared(nominal: Behaviour, twin: Behaviour, changed: Behaviour) -> dict[str, Effect]:
    """The effects of a change by the probes' names; `twin` is the nominal a rounding error beside.

    Sensors are compared where both have as many.
    """
    pairs = {
        "acceleration": "acceleration",
        "trajectory": "motion",
        "force": "force",
        "observation": "sensors",
    }
    effects = {}
    for probe, name in pairs.items():
        three = [getattr(one, name) for one in (nominal, twin, changed)]
        if three[0].size and three[0].shape == three[2].shape:
            effects[probe] = of_states(*three)
    return effects


MOST_ENTRIES = 200
"""Entries that are probed one by one, at most; beyond, only whole fields are."""


@dataclass(frozen=True, eq=False)
class OtherModel:
    """The model of a target and the task's own, with their motion in fixed states."""

    own: mujoco.MjModel
    model: mujoco.MjModel
    states: States
    forces: Forces
    does: Behaviour
    twin: Behaviour

    @classmethod
    def of(cls, task: Task, reference: Reference) -> OtherModel:
        """The model of a reference, without parameters, beside that of the task."""
        model = reference.base.model
        states = fewer(reference.states)
        return cls(
            own=prepare(task, Domain(name="nominal")),
            model=model,
            states=states,
            forces=probe_states(model, states),
            does=behaviour(model, states),
            twin=behaviour(model, twin_states(states, TWIN)),
        )

    def effects(self, other: mujoco.MjModel) -> dict[str, Effect]:
        """The effects of `other`, with as many joints and actuators, against this model."""
        return compared(self.does, self.twin, behaviour(other, self.states))

    def same_as(self, other: mujoco.MjModel) -> bool:
        """Whether no probe differs."""
        return not is_clear(self.effects(other))

    def why_nothing(self, undone: mujoco.MjModel) -> str:
        """Why a difference has no effect, as far as it can be found; `undone` is without it."""
        before = probe_states(undone, self.states)
        return why_nothing(Case(None, undone, self.model, before, self.forces))


def other_model_findings(task: Task, domain: Domain, other: OtherModel) -> Iterator[Finding]:
    """Everything in which the model of `domain` differs from the task's own."""
    if domain.model is None:
        return
    description = f"the model {domain.model}"
    errors = [*_same_world(other, domain), *_no_floor(other)]
    if errors:
        yield Finding("model", description, errors=tuple(errors))
    if notes := notes_of(task, domain):
        yield Finding("model", description, warnings=tuple(notes))
    for kind, text in only_in_one(other.own, other.model):
        name = f"model.{kind}"
        yield Finding(name, text, warnings=(text,))
    budget = MOST_ENTRIES
    for difference in differences(other.own, other.model):
        yield _difference(other, difference, budget >= len(difference.names))
        budget -= len(difference.names)
    yield from _acting_friction(other)


def has_parameters(domain: Domain) -> bool:
    """Whether anything but its model sets a domain apart."""
    more = (domain.keyframe, domain.control_period)
    return bool(domain.parameters) or any(one is not None for one in more)


def _same_world(other: OtherModel, domain: Domain) -> Iterator[str]:
    if not has_parameters(domain) and other.same_as(other.own):
        yield "has no effect: it is the world of the task's own model, no probe differs"


def _no_floor(other: OtherModel) -> Iterator[str]:
    if _grounds(other.own) and not _grounds(other.model):
        names = ", ".join(_grounds(other.own))
        yield f"there is nothing to stand on: the task's model has {names}, fixed to the world"


def _grounds(model: mujoco.MjModel) -> list[str]:
    """Planes, height fields and boxes that are fixed to the world and collide."""
    kinds = [int(kind) for kind in (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)]
    kinds.append(int(mujoco.mjtGeom.mjGEOM_BOX))
    fixed = model.body_weldid[model.geom_bodyid] == 0
    paired = np.isin(np.arange(model.ngeom), [model.pair_geom1, model.pair_geom2])
    collides = (model.geom_contype | model.geom_conaffinity).astype(bool) | paired
    rows = np.flatnonzero(fixed & collides & np.isin(model.geom_type, kinds))
    names = geoms(model)
    return [names[row] for row in rows.tolist()]


def _difference(other: OtherModel, difference: Difference, one_by_one: bool) -> Finding:
    """The effect of a field's entries together and, if there is one, which of them have none."""
    name = f"model.{difference.field}"
    description = difference.description
    undone = difference.undone(other.model, other.own)
    effects = other.effects(undone)
    changes = {name: effect.change for name, effect in effects.items()}
    ends = (End("model", None, changes, times_noise(effects)),)
    if not is_clear(effects):
        warning = f"{description}: has no effect: {other.why_nothing(undone)}"
        return Finding(name, description, ends, warnings=(warning,))
    warnings = []
    if one_by_one and len(difference.names) > 1:
        for index in range(len(difference.names)):
            entry = difference.single(index)
            without = entry.undone(other.model, other.own)
            if other.same_as(without):
                warnings.append(f"{entry.description}: has no effect: {other.why_nothing(without)}")
    return Finding(name, description, ends, warnings=tuple(warnings))


def _acting_friction(other: OtherModel) -> Iterator[Finding]:
    """Sliding friction as it acts in each pair of geoms that touches, where it differs."""
    ours = _acting(other.own, probe_states(other.own, other.states).contacts)
    theirs = _acting(other.model, other.forces.contacts)
    asked = _asked(other)
    changes, warnings = [], []
    for pair, (geoms_of, used) in theirs.items():
        before = ours[pair][1] if pair in ours else used
        if np.isclose(before, used, rtol=1e-6):
            continue
        changes.append(f"{pair} {before:.4g} -> {used:.4g}")
        if reason := why_other_friction(other.model, geoms_of, used, asked):
            warnings.append(f"{pair} {before:.4g} -> {used:.4g}: {reason}")
    if changes:
        description = f"as it acts: {', '.join(changes)}"
        yield Finding("model.contact friction", description, warnings=tuple(warnings))


def _asked(other: OtherModel) -> frozenset[int]:
    """The geoms whose friction differs."""
    found = [
        difference.rows.tolist()
        for difference in differences(other.own, other.model)
        if difference.field == "geom_friction"
    ]
    return frozenset(row for rows in found for row in rows)


def _acting(model: mujoco.MjModel, contacts: Contacts) -> dict[str, tuple[IntArray, float]]:
    """Names of two geoms -> the pair and its sliding friction, where its contacts have any."""
    names = geoms(model)
    found = {}
    for pair, friction, dim in zip(contacts.geoms, contacts.friction, contacts.dim, strict=True):
        if dim > 1:
            both = sorted(names[geom] for geom in pair.tolist())
            found["+".join(both)] = (pair, float(friction[0]))
    return found
