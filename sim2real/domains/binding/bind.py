"""Bind a domain to a model: every name, range and entry checked, one parameter after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import mujoco
import numpy as np

from sim2real.domains.binding.builder import Builder
from sim2real.domains.binding.signals import Effects, bind_actuation, bind_sensing
from sim2real.domains.binding.subject import Subject
from sim2real.domains.binding.visual import bind_visual
from sim2real.domains.distributions.distribution import Constant
from sim2real.domains.domain import Domain
from sim2real.domains.entries.control_period import control_period
from sim2real.domains.entries.delays import CommandDelay
from sim2real.domains.entries.disturbance import DisturbanceEntry, DisturbanceKind
from sim2real.domains.entries.entry import Dynamics
from sim2real.domains.entries.keyframe import bind_keyframe
from sim2real.domains.entries.stage import Effect, Load
from sim2real.domains.model_fields.rest_points import no_rest
from sim2real.domains.model_fields.table import FIELDS
from sim2real.domains.models.other_model import spec_of
from sim2real.domains.plan import Plan
from sim2real.domains.writes import merged
from sim2real.errors import UserError
from sim2real.task import IntArray, Task


def prepare(task: Task, domain: Domain) -> mujoco.MjModel:
    """The nominal model of `task` in `domain`, compiled: that of `prepared_spec`."""
    model = task.compiled(prepared_spec(task, domain))
    control_period(task, domain, model.opt.timestep)
    return model


def prepared_spec(task: Task, domain: Domain) -> mujoco.MjSpec:
    """The MJCF of `task`, or the one that `domain` names, with what `domain` needs built in.

    A changed time step, the history buffers of delayed actuators, full mass matrices and an uneven
    floor must be in the model before it is compiled. Raises UserError for an impossible time step
    or delay, and for a model that the task does not fit.
    """
    spec = task.spec() if domain.model is None else spec_of(task, domain)
    for parameter in domain.dynamics:
        field = FIELDS[parameter.field]
        if field.name == "opt.timestep":
            spec.option.timestep = _timestep(parameter, spec.option.timestep)
        if field.unlocks or field.geometry:
            _fill_mass_matrices(spec, parameter.of if field.kind == "body" else ())
    delays = [entry for entry in domain.actuation if entry.kind is CommandDelay]
    longest = max((entry.longest for entry in delays), default=0.0)
    longest = min(longest, task.episode_s)  # `bind` refuses longer ones, with their names
    if longest > 0:
        for actuator in spec.actuators:
            actuator.nsample = math.ceil(longest / spec.option.timestep) + 1
    for one in domain.disturbances:
        if issubclass(one.kind, DisturbanceKind):
            one.kind.edit(spec, one, domain.name)
    return spec


def _fill_mass_matrices(spec: mujoco.MjSpec, names: Sequence[str]) -> None:
    """Compile no body that `names` match (none: any) to a diagonal mass matrix."""
    for body in spec.bodies[1:]:
        if not names or not body.name or any(fnmatchcase(body.name, name) for name in names):
            body.simple = False


def _timestep(parameter: Dynamics, nominal: float) -> float:
    operation, distribution = parameter.operation
    if not isinstance(distribution, Constant):
        raise UserError("opt.timestep must be a constant: all worlds take the same number of steps")
    value = distribution.value
    timestep = {"scale": nominal * value, "add": nominal + value, "set": value}[operation]
    if timestep <= 0:
        raise UserError(f"opt.timestep must be greater than 0 s, got {timestep:g}")
    return timestep


def bind(domain: Domain, model: mujoco.MjModel, subject: Subject) -> Plan:
    """Bind `domain` to a nominal `model`.

    Raises UserError, naming the domain and the parameter, for elements or terms that the task does
    not have, values that the physics cannot have, parameters without effect, and two parameters
    that change the same entry.
    """
    builder = Builder(domain.name, domain.correlated, model, subject)
    builder.dynamics(domain.dynamics)
    actuation, substeps = bind_actuation(domain.actuation, builder)
    sensing, reward = bind_sensing(domain.sensing, builder)
    disturbances, loads = bind_disturbances(domain.disturbances, builder)
    tilts = bind_visual(domain.visual, builder)
    return Plan(
        names=tuple(builder.names),
        distributions=tuple(builder.distributions),
        keys=builder.keys(),
        writes=tuple(merged(builder.writes)),
        inertials=tuple(builder.inertials),
        tilts=tilts,
        afterwards=tuple(merged(builder.afterwards)),
        sets_constants=builder.sets_constants,
        coupling=builder.coupling(),
        pool=builder.pool,
        actuation=actuation,
        sensing=sensing,
        reward=reward,
        disturbances=disturbances,
        loads=loads,
        substeps=substeps,
        courses=tuple(builder.courses),
        redraws=tuple(builder.redraws),
        startup=tuple(builder.startup),
        keyframe=bind_keyframe(domain.keyframe, model, domain.name),
    )


def bind_disturbances(
    entries: Iterable[DisturbanceEntry], builder: Builder
) -> tuple[tuple[object, ...], tuple[Effect, ...]]:
    """The disturbances of a domain: those with partners in `simulation/`, and effects of loads.

    Call it after everything that writes gravity. Raises UserError, with the domain and the entry,
    for an entry that does not fit the model.
    """
    size = max(6 * builder.model.nbody, builder.model.nv)
    loads = Effects(builder, np.zeros((size, 2)), no_rest(size))
    found: list[object] = []
    for entry in sorted(entries, key=_order):
        first = len(builder.names)
        if issubclass(entry.kind, DisturbanceKind):
            found.append(entry.kind.bind(builder, entry))
        else:
            elements = _elements(builder, entry)
            loads.check(entry, elements)
            loads.add(entry, elements)
            builder.change_entry(entry, first)
        builder.note_when(entry, first)
    effects = sorted(loads.found, key=lambda effect: effect.stage.name)
    return tuple(one for one in found if one is not None), tuple(effects)


def _order(entry: DisturbanceEntry) -> int:
    """Loads come last."""
    return entry.kind.order if issubclass(entry.kind, DisturbanceKind) else 10


def _elements(builder: Builder, entry: DisturbanceEntry) -> dict[str, IntArray]:
    """Element name -> its numbers in `qfrc_applied`, or in `xfrc_applied` (flat)."""
    assert issubclass(entry.kind, Load)
    if entry.kind.acts_on == "joint":
        rows = builder.rows(entry.label, "dof_damping", entry.of)
        return {name: np.array(found, dtype=np.intp) for name, found in rows.items()}
    (axis,) = entry.axes
    rows = builder.rows(entry.label, "body_mass", entry.of)
    return {name: 6 * np.array(found, dtype=np.intp) + axis for name, found in rows.items()}
