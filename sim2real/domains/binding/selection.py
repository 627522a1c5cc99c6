"""The numbers of a model that a parameter names, and whether it can change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np

from sim2real.domains.model_fields.elements import element_rows
from sim2real.domains.model_fields.locations import Follower, Place, Quantity
from sim2real.domains.model_fields.table import (
    ModelField,
    component_columns,
    find_entry,
    nominal_array,
)
from sim2real.domains.writes import Fixed, Operation
from sim2real.errors import UserError
from sim2real.task import Array, IntArray


class Nominals:
    """Numbers of `model`; once it has `variants`, of these."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self._variants: dict[str, Fixed] = {}

    def vary(self, own: Sequence[Fixed]) -> None:
        """From now on the base values are those of the variants, which these writes hold."""
        self._variants = {one.array: one for one in own}

    def at(self, places: Sequence[Place | Follower]) -> Array:
        """Numbers of one array, (entries,), or (variants, entries) if the variants differ."""
        array = places[0].array
        return self.numbers(array, np.array([place.flat for place in places], dtype=np.intp))

    def numbers(self, array: str, columns: IntArray) -> Array:
        """The numbers at the flat `columns` of an array; shape as of `at`."""
        nominal: Array = nominal_array(self.model, array).reshape(-1)[columns]
        own = self._variants.get(array)
        if own is None:
            return nominal
        _, ours, theirs = np.intersect1d(columns, own.columns, return_indices=True)
        if own.nominal.ndim > 1 and len(ours):
            nominal = np.tile(nominal, (len(own.nominal), 1))
        nominal[..., ours] = own.nominal[..., theirs]
        return nominal

    def value(self, entry: Quantity) -> Array:
        """The value of a quantity, (1,), or of each variant, (variants,)."""
        values = np.ones(1)
        for place in entry.value:
            values = values * place.sign * self.at([place]).reshape(-1)
        return values


def selected(
    nominals: Nominals,
    field: ModelField,
    of: Sequence[str],
    component: str | None,
    operation: Operation,
) -> dict[str, list[Quantity]]:
    """Element name -> the entries that an operation on it changes.

    Elements on which it has no effect are refused or, where no element was named, left out.
    Raises UserError for unknown names, and where nothing is left.
    """
    model = nominals.model
    width = nominal_array(model, field.name).shape[1] if field.find is None else _width(field)
    columns = _columns(field, component, operation, width)
    found: dict[str, list[Quantity]] = {}
    idle: dict[str, str] = {}
    for name, rows in element_rows(model, field, of).items():
        try:
            entries = [
                find_entry(model, field, row, column, width) for row in rows for column in columns
            ]
            if field.not_0:
                entries = [entry for entry in entries if nominals.value(entry).any()]
            reason = _without_effect(nominals, field, operation, rows, entries)
        except UserError as error:
            reason = str(error)
        if reason:
            idle[name] = reason
        else:
            found[name] = entries
    if idle and (of or not found):
        raise UserError(_by_reason(field, idle))
    if not found:
        raise UserError(f"the model has no {field.kind} that it could change")
    return found


def _width(field: ModelField) -> int:
    """The numbers of a quantity that is no array of its own."""
    return max(1, len(field.components))


def _by_reason(field: ModelField, idle: Mapping[str, str]) -> str:
    """The faults, each with its elements."""
    together: dict[str, list[str]] = {}
    for name, reason in sorted(idle.items()):
        together.setdefault(reason, []).append(name)
    return "; ".join(
        f"{', '.join(names) or field.name}: {reason}" for reason, names in together.items()
    )


def _columns(
    field: ModelField, component: str | None, operation: Operation, width: int
) -> list[int]:
    if operation not in field.operations:
        raise UserError(f"takes {' or '.join(field.operations)}, not {operation}")
    all_at_once = field.columns is None and operation != "scale"
    if component is None and field.components and (field.one_component or all_at_once):
        allowed = ", ".join(field.components)
        raise UserError(f"{operation!r} needs a component: {allowed}")
    return component_columns(field, component, width)


def _without_effect(
    nominals: Nominals,
    field: ModelField,
    operation: Operation,
    rows: Sequence[int],
    entries: Sequence[Quantity],
) -> str:
    """Why an operation on an element has no effect; empty where it has one."""
    model: mujoco.MjModel = nominals.model
    reasons = [field.needs(model, row) for row in rows] if field.needs is not None else []
    values = [nominals.value(entry)[0] for entry in entries]
    if any(reasons):
        return next(filter(None, reasons))
    if not entries:
        return f"it has no such number among its {field.name}"
    switches = [place for entry in entries for place in entry.switches]
    if operation != "set" and not all(nominals.at([switch]).all() for switch in switches):
        return "it has none; use set"
    if operation == "scale" and not any(values):
        return "it is 0, so a scale has no effect; use add or set"
    if np.isnan(values).any():
        return "its inertia is not that of a physical body"
    follows = any(entry.followers for entry in entries)
    if operation != "scale" and follows and not all(values):
        return f"{operation} needs a nominal value other than 0; use scale"
    return ""
