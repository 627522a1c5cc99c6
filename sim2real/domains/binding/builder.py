"""Context entries and model writes of a domain's parameters, each checked when it is added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.domains.binding.draws import Draws
from sim2real.domains.binding.selection import Nominals, selected
from sim2real.domains.binding.subject import Subject
from sim2real.domains.binding.value_bounds import crossed, out_of_bounds
from sim2real.domains.binding.variants import spread
from sim2real.domains.distributions.correlation import Correlated, bind_coupling
from sim2real.domains.distributions.distribution import Distribution
from sim2real.domains.entries.course import Course
from sim2real.domains.entries.entry import Dynamics, Entry
from sim2real.domains.model_fields.elements import element_rows
from sim2real.domains.model_fields.geometry import compile_pool, touches
from sim2real.domains.model_fields.inertia import log_cholesky, pseudo_inertia
from sim2real.domains.model_fields.inertials import (
    ARRAYS,
    Inertials,
    LogCholesky,
    Payload,
    body_columns,
)
from sim2real.domains.model_fields.locations import Follower, Place, Quantity
from sim2real.domains.model_fields.table import FIELDS, STRENGTH, TABLES, ModelField
from sim2real.domains.model_fields.visual import ARRAYS as VISUAL_ARRAYS
from sim2real.domains.writes import (
    Fixed,
    Inverse,
    Late,
    Operation,
    Proportional,
    Signed,
    Write,
    merged,
)
from sim2real.errors import UserError
from sim2real.task import Array, IntArray


@dataclass(frozen=True)
class Bound:
    """A parameter with the model entries that it changes, and the context entry of each."""

    field: ModelField
    component: str | None
    operation: Operation
    distribution: Distribution
    label: str
    entries: tuple[tuple[Quantity, int], ...]

    @property
    def places(self) -> list[Place]:
        """The numbers that hold it, of all elements."""
        return [place for entry, _ in self.entries for place in entry.places]


class Builder(Draws):
    """Collects draws and writes; checks each parameter when it is added."""

    def __init__(
        self,
        name: str,
        correlated: Sequence[Correlated],
        model: mujoco.MjModel,
        subject: Subject,
    ) -> None:
        super().__init__(name, correlated, subject)
        self.model = model
        self.writes: list[Write] = []
        self.afterwards: list[Write] = []
        self.inertials: list[Inertials] = []
        self.impulses: set[str] = set()
        self._nominals = Nominals(model)
        self._owners: dict[tuple[str, int], str] = {}

    # -- parameters ---------------------------------------------------------------------------

    def dynamics(self, parameters: Sequence[Dynamics]) -> None:
        """All `dynamics` parameters: first their draws, then the geometry, then the others."""
        bound = [self.bound(parameter) for parameter in parameters]
        self._geometry([one for one in bound if one.field.geometry])
        for one in bound:
            if one.field.name not in TABLES and not one.field.geometry:
                self.write_entries(one)
        self._pseudo_inertia([one for one in bound if one.field.name == "body_pseudo_inertia"])
        self._payload([one for one in bound if one.field.name == "payload"])

    def strength(self, one: Entry) -> None:
        """A factor on the force of actuators, applied after all other changes of their gains."""
        draw = one.distribution, one.is_shared, one.label
        self.write_entries(self._bound(STRENGTH, one.of, None, "scale", *draw))

    def delay(self, one: Entry, elements: Mapping[str, IntArray]) -> list[int]:
        """The engine's own actuator delay, on the history buffers that `prepare` built in.

        `elements` are the rows of the actuators that share a delay, by name; returns the context
        entry of each.
        """
        label = one.label
        sources = self.draws(label, list(elements), one.distribution, one.is_shared)
        for rows, source in zip(elements.values(), sources, strict=True):
            for row in rows.tolist():
                place = Place("actuator_delay", row)
                self.take(place, label)
                nominal = self._nominals.at([place])
                self.writes.append(
                    Late(place.array, _one(place.flat), _one(source), nominal, "set")
                )
        return sources

    def rows(self, label: str, field: str, of: Sequence[str]) -> dict[str, list[int]]:
        """Element name -> its rows in the arrays of a field; UserError for unknown elements."""
        try:
            return element_rows(self.model, FIELDS[field], of)
        except UserError as error:
            raise self.error(label, str(error)) from None

    @property
    def sets_constants(self) -> bool:
        """Whether constants follow from what is written."""
        arrays = {write.array for write in (*self.writes, *self.afterwards)} - VISUAL_ARRAYS
        return bool(self.inertials) or not arrays.isdisjoint(mujoco.MjModel._setconst_inputs)

    def bound(self, parameter: Dynamics) -> Bound:
        """A parameter with its draws and the model entries it changes, none of them written yet."""
        operation, distribution = parameter.operation
        field, label = parameter.fields[parameter.field], parameter.label
        first = len(self.names)
        if field.name == "opt.timestep":  # `prepare` has built it in
            self.draws(label, [""], distribution, shared=True)
            bound = Bound(field, None, operation, distribution, label, ())
        else:
            of, component, shared = parameter.of, parameter.component, parameter.shared
            bound = self._bound(field, of, component, operation, distribution, shared, label)
        if parameter.group is not None:
            self._groups.setdefault(parameter.group, []).extend(range(first, len(self.names)))
        if parameter.course is not None:
            neutral = self._neutral(bound, first, parameter.course)
            self.change(parameter.course, label, first, neutral)
        self.note_when(parameter, first)
        return bound

    def _neutral(self, bound: Bound, first: int, course: Course) -> list[float]:
        """The values of the context entries from `first` on that leave the model as it is."""
        if bound.field.geometry or not bound.entries:
            raise self.error(bound.label, "it is built into the model and takes no course")
        if course.kind in ("drift", "every"):  # it starts at what is drawn
            return [0.0] * (len(self.names) - first)
        if bound.operation != "set":
            return [{"scale": 1.0, "add": 0.0}[bound.operation]] * (len(self.names) - first)
        found = []
        for source in range(first, len(self.names)):
            own = [entry for entry, one in bound.entries if one == source]
            values = np.unique([self._nominals.value(entry) for entry in own])
            if len(values) != 1:
                raise self.error(
                    bound.label, "its elements differ, so a set has no course; use scale or add"
                )
            found.append(float(values[0]))
        return found

    def _bound(
        self,
        field: ModelField,
        of: Sequence[str],
        component: str | None,
        operation: Operation,
        distribution: Distribution,
        shared: bool,
        label: str,
    ) -> Bound:
        try:
            found = selected(self._nominals, field, of, component, operation)
        except UserError as error:
            raise self.error(label, str(error)) from None
        sources = self.draws(label, list(found), distribution, shared or field.kind == "option")
        pairs = [
            (entry, source)
            for source, entries in zip(sources, found.values(), strict=True)
            for entry in entries
        ]
        return Bound(field, component, operation, distribution, label, tuple(pairs))

    # -- writes -------------------------------------------------------------------------------

    def write_entries(self, bound: Bound) -> None:
        """Add the writes of a bound parameter, its values checked."""
        self._check_values(bound)
        for entry, source in bound.entries:
            for place in entry.places:
                self.take(place, bound.label)
                self.writes.append(self._changing(place, source, bound.operation))
            for follower in entry.followers:
                on_top = self.take(follower, bound.label, entry.composes)
                if not on_top and not self._nominals.at([follower]).any():
                    continue  # 0 keeps its ratio to anything
                write = self._following(bound.operation, entry, follower, source)
                (self.afterwards if on_top else self.writes).append(write)
            if bound.operation == "set":
                for switch in entry.switches:
                    column = np.array([switch.flat], dtype=np.intp)
                    on = np.ones(1)
                    self.writes.append(Fixed(switch.array, column, column[:0], on, "set"))

    def _changing(self, place: Place, source: int, operation: Operation) -> Write:
        """The write that an operation makes of a number."""
        columns, sources = _one(place.flat), _one(source)
        nominal = self._nominals.at([place])
        if place.sign == 1:
            return Write(place.array, columns, sources, nominal, operation)
        return Signed(
            place.array, columns, sources, nominal, operation, np.array([float(place.sign)])
        )

    def _following(
        self, operation: Operation, entry: Quantity, follower: Follower, source: int
    ) -> Write:
        """The write that keeps a follower's ratio: inertia with mass, bias with gain."""
        array, columns, sources = follower.array, _one(follower.flat), _one(source)
        nominal = self._nominals.at([follower])
        if operation == "scale" and not follower.inverse:
            return Write(array, columns, sources, nominal, operation)
        leader = self._nominals.value(entry)
        leader = leader if len(leader) == 1 else leader[:, None]
        kind = Inverse if follower.inverse else Proportional
        return kind(array, columns, sources, nominal, operation, leader)

    def take(self, place: Place | Follower, label: str, composes: bool = False) -> bool:
        """Claim a number of the model; return whether another parameter has changed it already."""
        owner = self._owners.get((place.array, place.flat))
        if owner is None:
            self._owners[place.array, place.flat] = label
        elif not composes:
            raise self.error(label, f"changes the same entry of {place.array} as {owner!r}")
        return owner is not None

    def _check_values(self, bound: Bound) -> None:
        for entry, _ in bound.entries:
            problem = out_of_bounds(
                bound.field,
                bound.component,
                bound.operation,
                bound.distribution,
                self._nominals.value(entry),
            )
            if problem:
                raise self.error(bound.label, problem)
        if "lower" in bound.field.components:
            self._check_ranges(bound)

    def _check_ranges(self, bound: Bound) -> None:
        """Refuse a draw that turns a range over; the other end is the nominal one."""
        changed: dict[tuple[str, int], list[int]] = {}
        for place in bound.places:
            row, column = divmod(place.flat, 2)
            changed.setdefault((place.array, row), []).append(column)
        for (array, row), columns in changed.items():
            pair = self._nominals.numbers(array, np.array([2 * row, 2 * row + 1]))
            problem = crossed(bound.operation, bound.distribution, pair, columns)
            if problem:
                raise self.error(bound.label, problem)

    # -- whole bodies -------------------------------------------------------------------------

    def _pseudo_inertia(self, parameters: Sequence[Bound]) -> None:
        """Bodies given by log-Cholesky parameters; nothing else may change their inertia."""
        owners: dict[int, str] = {}
        for one in parameters:
            for place in one.places:
                self.take(place, one.label)
                owners.setdefault(place.flat // 10, one.label)
        for body, label in owners.items():
            for array in ARRAYS:
                for column in body_columns(array, _one(body)).tolist():
                    self.take(Place(array, column), label)
        bodies = np.array(sorted(owners), dtype=np.intp)
        if len(bodies):
            parts = [self._of_bodies(array, bodies) for array in ARRAYS]
            table = log_cholesky(pseudo_inertia(parts[0][..., 0], *parts[1:]))
            self._add_inertials(LogCholesky, parameters, bodies, table)

    def _payload(self, parameters: Sequence[Bound]) -> None:
        """Point masses, applied after all other changes of the bodies that carry them."""
        places = [place for one in parameters for place in one.places]
        loaded = {place.flat // 4 for place in places if place.flat % 4 == 0}
        for one in parameters:
            self._check_values(one)
            for place in one.places:
                self.take(place, one.label)
                if place.flat // 4 not in loaded:
                    name = self.model.body(place.flat // 4).name
                    raise self.error(one.label, f"{name} has a place for a payload, but no mass")
        bodies = np.array(sorted(loaded), dtype=np.intp)
        if len(bodies):
            self._add_inertials(Payload, parameters, bodies, np.zeros((len(bodies), 4)))

    def _add_inertials(
        self, kind: type[Inertials], parameters: Sequence[Bound], bodies: IntArray, table: Array
    ) -> None:
        """Changes of `table` ((variants,) bodies, width) that make new inertias of `bodies`.

        They start from the nominal bodies, and from what other parameters make of them.
        """
        for array in ARRAYS:
            written = [write.columns for write in self.writes if write.array == array]
            free = np.setdiff1d(body_columns(array, bodies), np.concatenate([[], *written]))
            if len(free):
                nominal = self._nominals.numbers(array, free)
                self.writes.append(Fixed(array, free, free[:0], nominal, "set"))
        width = table.shape[-1]
        nominal = table.reshape(*table.shape[:-2], -1)
        writes = []
        for one in parameters:
            for entry, source in one.entries:
                body, column = divmod(entry.places[0].flat, width)
                columns = _one(int(np.searchsorted(bodies, body)) * width + column)
                base = nominal[..., columns]
                writes.append(Write(one.field.name, columns, _one(source), base, one.operation))
        self.inertials.append(kind(bodies, nominal, tuple(merged(writes))))

    def _of_bodies(self, array: str, bodies: IntArray) -> Array:
        """Nominal values of `bodies` in one array of their inertia, ((variants,) bodies, width)."""
        values = self._nominals.numbers(array, body_columns(array, bodies))
        return values.reshape(*values.shape[:-1], len(bodies), -1)

    # -- geometry -----------------------------------------------------------------------------

    def _geometry(self, parameters: Sequence[Bound]) -> None:
        """Compile the variants that the parameters of the geometry ask for."""
        if not parameters:
            return
        if self.subject.spec is None:
            raise self.error(
                parameters[0].label, "geometry takes an MJCF that is compiled anew; there is none"
            )
        try:
            writes = [write for one in parameters for write in self._shaping(one)]
            columns = list(dict.fromkeys(source for one in parameters for _, source in one.entries))
            tied = self._correlated_among(columns)
            coupling = bind_coupling(self.names, self._groups, tied)
            self.pool = spread(columns, self.distributions, self.keys(), coupling)
            draws = self.pool.draws(len(self.names))
            variants = compile_pool(self.model, self.subject.spec, merged(writes), draws)
        except UserError as error:
            text = str(error)
            labels = ", ".join(dict.fromkeys(one.label for one in parameters))
            raise error if text.startswith("domain ") else self.error(labels, text) from None
        self.writes += variants
        self._nominals.vary(variants)

    def _shaping(self, one: Bound) -> list[Write]:
        """The writes of a parameter of the geometry, to a shape before it is compiled."""
        self._check_values(one)
        for place in one.places:
            self.take(place, one.label)
            for touched in touches(self.model, place):
                self.take(touched, one.label)
        return [
            self._changing(place, source, one.operation)
            for entry, source in one.entries
            for place in entry.places
        ]

    def _correlated_among(self, columns: Sequence[int]) -> list[Correlated]:
        """The correlations that name an entry of the geometry."""
        names = [self.names[column] for column in columns]
        return [one for one in self._correlated if any(one.names(name) for name in names)]


def _one(index: int) -> IntArray:
    return np.array([index], dtype=np.intp)
