"""Impulses and constant forces bound to a model, and the gravity of a sloping floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim2real.domains.binding.bound_forces import Force, Push
from sim2real.domains.binding.builder import Builder
from sim2real.domains.binding.signals import Effects
from sim2real.domains.distributions.draw_keys import draw_name, key_of
from sim2real.domains.entries.disturbance import Disturbance
from sim2real.domains.entries.disturbances import Bumps, Slope, Torque, Twist
from sim2real.domains.entries.disturbances import Force as ForceKind
from sim2real.domains.entries.disturbances import Push as PushKind
from sim2real.domains.entries.stage import Effect, Load
from sim2real.domains.entries.terrain import bind_bumps
from sim2real.domains.model_fields.elements import element_rows
from sim2real.domains.model_fields.rest_points import no_rest
from sim2real.domains.model_fields.table import FIELDS, nominal_array
from sim2real.domains.writes import Write
from sim2real.errors import UserError
from sim2real.task import Array

_AXES = {"x": (0,), "y": (1,), "z": (2,), "horizontal": (0, 1)}


@dataclass(frozen=True)
class Tilt(Write):
    """Gravity as seen from a floor that slopes: what `inner` makes of it, turned.

    A floor that rises by p along x is, in its own frame, level ground under a gravity turned by p
    about y: (0, 0, -g) becomes (-g sin p, 0, -g cos p). Everything else is the same in that frame,
    so the two are exactly equivalent. `slopes` are the context entries with the axis that each
    turns towards (0: pitch, 1: roll), in this order.
    """

    inner: tuple[Write, ...]
    slopes: tuple[tuple[int, int], ...]

    def values(self, draws: Array) -> Array:
        """New gravity, (m, 3), for the draws (m, context)."""
        gravity = np.tile(self.nominal, (len(draws), 1))
        for write in self.inner:
            gravity[:, write.columns] = write.values(draws)
        for source, axis in self.slopes:
            angle = draws[:, source]
            along, down = gravity[:, axis].copy(), gravity[:, 2].copy()
            level = angle == 0  # level ground is left alone, to the sign of a zero
            cos, sin = np.cos(angle), np.sin(angle)
            gravity[:, axis] = np.where(level, along, along * cos + down * sin)
            gravity[:, 2] = np.where(level, down, down * cos - along * sin)
        return gravity


def bind_disturbances(
    builder: Builder, control_dt: float, episode_s: float
) -> tuple[tuple[Push, ...], tuple[Force, ...], tuple[Effect, ...]]:
    """Bind the `disturbances` of the builder's domain, after all that writes gravity.

    Returns impulses, constant forces, and the effects of kinds of the user's own.

    Raises UserError, naming domain and entry, for what does not fit the model.
    """
    entries = builder.domain.disturbances
    impulses = [one for one in entries if issubclass(one.kind, PushKind)]
    pushes = [bind_push(builder, one, control_dt, episode_s) for one in impulses]
    _check_apart(builder, impulses)
    forces = [bind_force(builder, one) for one in entries if issubclass(one.kind, ForceKind)]
    bind_slopes(builder, [one for one in entries if one.kind is Slope])
    for one in entries:
        if one.kind is Bumps:
            bind_bumps(builder, one)
    return tuple(pushes), tuple(forces), _bind_loads(builder, episode_s)


def _bind_loads(builder: Builder, episode_s: float) -> tuple[Effect, ...]:
    """The effects of loads, on the numbers of `xfrc_applied` (flat) or of `qfrc_applied`."""
    size = max(6 * builder.model.nbody, builder.model.nv)
    effects = Effects(builder, episode_s, np.zeros((size, 2)), no_rest(size))
    for entry in builder.domain.disturbances:
        kind, first = entry.kind, len(builder.names)
        if not issubclass(kind, Load):
            continue
        if kind.acts_on == "joint":
            rows = _rows(builder, entry, "dof_damping")
        else:
            (axis,) = _axes(entry)
            places = _rows(builder, entry, "body_mass")
            rows = {name: [6 * body + axis for body in found] for name, found in places.items()}
        elements = {name: np.array(found, dtype=np.intp) for name, found in rows.items()}
        effects.check(entry, elements)
        effects.add(entry, elements)
        builder.change(entry.course, entry.label, first, kind.identity or 0.0)
    return tuple(sorted(effects.found, key=lambda effect: effect.stage.name))


def _check_apart(builder: Builder, pushes: Sequence[Disturbance]) -> None:
    """UserError for two pushes of one name, which would be the same."""
    names = [draw_name(one.label, one.name, one.of) for one in pushes]
    for entry, name in zip(pushes, names, strict=True):
        if names.count(name) > 1:
            raise builder.error(entry.label, f"{name!r} is drawn twice; give one of them a 'name'")


def bind_push(builder: Builder, entry: Disturbance, control_dt: float, episode_s: float) -> Push:
    """Bind impulses; UserError for unknown bodies and for intervals that no episode can have."""
    shortest = entry.every.support[0]  # type: ignore[union-attr]  # the entry has checked it
    if shortest < control_dt:
        raise builder.error(
            entry.label,
            f"every: {shortest:g} s is shorter than a control step ({control_dt:g} s)",
        )
    if shortest >= episode_s:
        raise builder.error(
            entry.label,
            f"every: {shortest:g} s is as long as an episode ({episode_s:g} s): nothing is pushed",
        )
    bodies = np.array(list(_bodies(builder, entry).values()), dtype=np.intp)
    key = key_of(draw_name(entry.label, entry.name, entry.of))
    axes = _axes(entry)
    return Push(key, bodies, entry.distribution, entry.every, axes)  # type: ignore[arg-type]


def bind_force(builder: Builder, entry: Disturbance) -> Force:
    """Bind a constant force or torque and its draws; UserError for unknown bodies."""
    rows, first = _bodies(builder, entry), len(builder.names)
    sources = builder.draws(entry.label, list(rows), entry.distribution, entry.shared)
    builder.change(entry.course, entry.label, first, 0.0)
    bodies = np.array(list(rows.values()), dtype=np.intp)
    (axis,) = _axes(entry)
    return Force(bodies, np.array(sources, dtype=np.intp), axis)


def _axes(entry: Disturbance) -> tuple[int, ...]:
    """The columns of `xfrc_applied` that a disturbance acts along."""
    kind = entry.kind
    turns = kind.turns if issubclass(kind, Load) else kind in (Twist, Torque)
    first = 3 if turns else 0
    return tuple(first + axis for axis in _AXES[entry.towards])


def bind_slopes(builder: Builder, entries: Sequence[Disturbance]) -> None:
    """Put the slopes on top of what else the domain does to gravity.

    Raises UserError where there is no gravity.
    """
    if not entries:
        return
    nominal = nominal_array(builder.model, "opt.gravity").reshape(-1)
    inner = tuple(write for write in builder.writes if write.array == "opt.gravity")
    slopes = []
    for entry in entries:
        if not inner and not nominal.any():
            raise builder.error(entry.label, "there is no gravity, so a slope has no effect")
        (source,) = builder.draws(entry.label, [""], entry.distribution, shared=True)
        builder.change(entry.course, entry.label, source, 0.0)
        slopes.append((source, 0 if entry.towards == "pitch" else 1))
    builder.writes[:] = [write for write in builder.writes if write.array != "opt.gravity"]
    columns = np.arange(3)
    builder.writes.append(
        Tilt("opt.gravity", columns, columns[:0], nominal, "set", inner, tuple(slopes))
    )


def _bodies(builder: Builder, entry: Disturbance) -> dict[str, int]:
    return {name: places[0] for name, places in _rows(builder, entry, "body_mass").items()}


def _rows(builder: Builder, entry: Disturbance, field: str) -> dict[str, list[int]]:
    """Element name -> its rows in the arrays of a field; UserError for unknown elements."""
    try:
        return element_rows(builder.model, FIELDS[field], entry.of)
    except UserError as error:
        raise builder.error(entry.label, str(error)) from None
