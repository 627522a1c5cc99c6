"""Context entries and model writes of a domain's parameters, each checked as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.domains.bounds import out_of_bounds
from sim2real.domains.correlation import Correlated, Coupling, bind_coupling
from sim2real.domains.distributions import Distribution
from sim2real.domains.domain import Domain
from sim2real.domains.dynamics import Dynamics, Operation
from sim2real.domains.fields import (
    FIELDS,
    STRENGTH,
    TABLES,
    ModelField,
    component_columns,
    element_rows,
    find_entry,
    nominal_array,
)
from sim2real.domains.geometry import compile_pool, touches
from sim2real.domains.inertia import log_cholesky, pseudo_inertia
from sim2real.domains.inertials import ARRAYS, Inertials, LogCholesky, Payload, body_columns
from sim2real.domains.places import Entry, Follower, Place
from sim2real.domains.variants import Pool, spread
from sim2real.domains.writes import Held, Inverse, Proportional, Signed, Write, merged
from sim2real.errors import UserError
from sim2real.task import Array, IntArray


@dataclass(frozen=True)
class Bound:
    """A parameter with the model entries that it changes, and the context entry of each."""

    field: ModelField
    operation: Operation
    distribution: Distribution
    label: str
    entries: tuple[tuple[Entry, int], ...]
    component: str | None

    @property
    def places(self) -> list[Place]:
        """The numbers that hold it, of all elements."""
        return [place for entry, _ in self.entries for place in entry.places]


class Builder:
    """Collects context names, distributions and writes, checking each parameter as it comes."""

    def __init__(
        self,
        domain: Domain,
        model: mujoco.MjModel,
        spec: Callable[[], mujoco.MjSpec] | None = None,
    ) -> None:
        self.domain = domain
        self.model = model
        self.names: list[str] = []
        self.distributions: list[Distribution] = []
        self.writes: list[Write] = []
        self.afterwards: list[Write] = []
        self.inertials: list[Inertials] = []
        self.pool: Pool | None = None
        self._spec = spec
        self._groups: dict[str, list[int]] = {}
        self._variants: dict[str, Held] = {}
        self._taken: dict[tuple[str, int], str] = {}
        self._claimed: set[tuple[str, int]] = set()
        self._restored: set[tuple[str, int]] = set()

    # -- the dynamics --------------------------------------------------------------------------

    def dynamics(self, parameters: Sequence[Dynamics]) -> None:
        """All `dynamics` parameters: first their draws, then the geometry, then the others."""
        bound = [self._bind(parameter) for parameter in parameters]
        self._geometry([one for one in bound if one.field.geometry])
        for one in bound:
            if one.field.name not in TABLES and not one.field.geometry:
                self._write_entries(one)
        self._pseudo_inertia([one for one in bound if one.field.name == "body_pseudo_inertia"])
        self._payload([one for one in bound if one.field.name == "payload"])

    def model_field(
        self,
        entry: ModelField,
        of: Sequence[str],
        component: str | None,
        operation: Operation,
        distribution: Distribution,
        shared: bool,
        label: str,
    ) -> None:
        """Draws and writes for one operation on some elements of a field, and what follows it."""
        self._write_entries(
            self._bound(entry, of, component, operation, distribution, shared, label)
        )

    def coupling(self) -> Coupling | None:
        """The groups and correlations of the domain, once all draws are there."""
        try:
            return bind_coupling(self.names, self._groups, self.domain.correlated)
        except UserError as error:
            raise UserError(f"domain {self.domain.name!r}: {error}") from None

    @property
    def sets_constants(self) -> bool:
        """Whether constants follow from what is written."""
        arrays = {write.array for write in (*self.writes, *self.afterwards)}
        return bool(self.inertials) or not arrays.isdisjoint(mujoco.MjModel._setconst_inputs)

    def _bind(self, parameter: Dynamics) -> Bound:
        operation, distribution = parameter.operation
        first = len(self.names)
        if parameter.field == "opt.timestep":
            self.draws(parameter.label, [""], distribution, shared=True)
            bound = Bound(
                FIELDS["opt.timestep"], operation, distribution, parameter.label, (), None
            )
        else:
            bound = self._bound(
                FIELDS[parameter.field],
                parameter.of,
                parameter.component,
                operation,
                distribution,
                parameter.shared,
                parameter.label,
            )
        if parameter.group is not None:
            entries = self._groups.setdefault(parameter.group, [])
            entries += range(first, len(self.names))
        return bound

    def _bound(
        self,
        entry: ModelField,
        of: Sequence[str],
        component: str | None,
        operation: Operation,
        distribution: Distribution,
        shared: bool,
        label: str,
    ) -> Bound:
        width = nominal_array(self.model, entry.name).shape[1] if entry.find is None else 1
        columns = self._columns(entry, component, operation, width)
        found = self._elements(entry, of, operation, columns, width, label)
        sources = self.draws(label, list(found), distribution, shared or entry.kind == "option")
        pairs = [
            (one, source)
            for source, entries in zip(sources, found.values(), strict=True)
            for one in entries
        ]
        return Bound(entry, operation, distribution, label, tuple(pairs), component)

    def delay(
        self, of: Sequence[str], distribution: Distribution, shared: bool, label: str
    ) -> list[int]:
        """The engine's own actuator delay, on the history buffers that `prepare` built in.

        Returns the context entry of each actuator.
        """
        rows = element_rows(self.model, STRENGTH, of)
        sources = self.draws(label, list(rows), distribution, shared)
        for name, source in zip(rows, sources, strict=True):
            place = Place("actuator_delay", rows[name][0])
            self._take(place, label)
            self.writes.append(self._write([place], [source], "set"))
        return sources

    def draws(
        self, label: str, elements: Sequence[str], distribution: Distribution, shared: bool
    ) -> list[int]:
        """Context entries for the elements; returns the entry of each."""
        names = [label] if shared else [f"{label}:{name}" if name else label for name in elements]
        for name in names:
            if name in self.names:
                raise self.error(label, f"{name!r} is drawn twice; give one of them a 'name'")
        first = len(self.names)
        self.names += names
        self.distributions += [distribution] * len(names)
        return [first] * len(elements) if shared else list(range(first, first + len(names)))

    # -- what is meant -------------------------------------------------------------------------

    def _columns(
        self, entry: ModelField, component: str | None, operation: Operation, width: int
    ) -> list[int]:
        if operation not in entry.operations:
            allowed = " or ".join(entry.operations)
            raise self.error(entry.name, f"takes {allowed}, not {operation}")
        whole = entry.columns is None and operation != "scale"
        if component is None and entry.components and (entry.one_component or whole):
            allowed = ", ".join(entry.components)
            raise self.error(entry.name, f"{operation!r} needs a component: {allowed}")
        return component_columns(entry, component, width)

    def _elements(
        self,
        entry: ModelField,
        of: Sequence[str],
        operation: Operation,
        columns: Sequence[int],
        width: int,
        label: str,
    ) -> dict[str, list[Entry]]:
        """What is meant of each element; those on which the operation has no effect are refused or,
        where no element was named, left out."""
        try:
            rows = element_rows(self.model, entry, of)
        except UserError as error:
            raise self.error(label, str(error)) from None
        found: dict[str, list[Entry]] = {}
        idle: dict[str, str] = {}
        for name, places in rows.items():
            try:
                entries = [
                    find_entry(self.model, entry, row, column, width)
                    for row in places
                    for column in columns
                ]
                reason = next(filter(None, (self._idle(entry, row) for row in places)), "")
            except UserError as error:
                entries, reason = [], str(error)
            reason = reason or self._without_effect(entry, operation, entries)
            if reason:
                idle[name] = reason
            else:
                found[name] = entries
        if idle and (of or not found):
            name = next(iter(idle))
            raise self.error(label, f"{', '.join(sorted(idle)) or entry.name}: {idle[name]}")
        if not found:
            raise self.error(label, f"the model has no {entry.kind} that it could change")
        return found

    def _idle(self, entry: ModelField, row: int) -> str:
        return "" if entry.needs is None else entry.needs(self.model, row)

    def _without_effect(
        self, entry: ModelField, operation: Operation, entries: Sequence[Entry]
    ) -> str:
        values = [self._value(one)[0] for one in entries]
        if operation == "scale" and not any(values):
            return "it is 0, so a scale has no effect; use add or set"
        if any(np.isnan(values)):
            return "its inertia is not that of a physical body"
        follows = any(one.followers for one in entries)
        if operation != "scale" and follows and not all(values):
            return f"{operation} needs a nominal value other than 0; use scale"
        return ""

    def _value(self, entry: Entry) -> Array:
        """The nominal value of an entry, in each variant (1 or more,)."""
        values = np.ones(1)
        for place in entry.value:
            values = values * place.sign * self._nominal([place]).reshape(-1)
        return values

    def _nominal(self, places: Sequence[Place | Follower]) -> Array:
        """Nominal numbers in one array, (entries,), or (variants, entries) if they vary."""
        array = places[0].array
        columns = np.array([place.flat for place in places], dtype=np.intp)
        nominal = nominal_array(self.model, array).reshape(-1)[columns]
        held = self._variants.get(array)
        if held is None or held.nominal.ndim == 1 or not np.isin(columns, held.columns).any():
            if held is not None and held.nominal.ndim == 1:
                _overlay(nominal, columns, held)
            return nominal
        table = np.tile(nominal, (len(held.nominal), 1))
        _overlay(table, columns, held)
        return table

    # -- writes ----------------------------------------------------------------------------------

    def _write_entries(self, bound: Bound) -> None:
        self._check_values(bound)
        for entry, source in bound.entries:
            for place in entry.places:
                self._take(place, bound.label)
                self.writes.append(self._write([place], [source], bound.operation))
            for follower in entry.followers:
                self._follow(bound, entry, follower, source)
            if bound.operation == "set":
                self._switch(entry)

    def _write(
        self, places: Sequence[Place], sources: Sequence[int], operation: Operation
    ) -> Write:
        columns = np.array([place.flat for place in places], dtype=np.intp)
        parts = (
            places[0].array,
            columns,
            np.array(sources, dtype=np.intp),
            self._nominal(places),
            operation,
        )
        signs = np.array([place.sign for place in places])
        return Write(*parts) if (signs == 1).all() else Signed(*parts, signs)

    def _follow(self, bound: Bound, entry: Entry, follower: Follower, source: int) -> None:
        """Scale a follower by the ratio: inertia with mass, bias and force limit with gain."""
        on_top = self._take(follower, bound.label, composes=entry.composes)
        leader = self._value(entry) if bound.operation != "scale" else np.ones(1)
        nominal = self._nominal([follower])
        parts = (
            follower.array,
            np.array([follower.flat], dtype=np.intp),
            np.array([source], dtype=np.intp),
            nominal,
            bound.operation,
        )
        leader = leader if len(leader) == 1 else leader[:, None]
        write: Write
        if follower.inverse:
            write = Inverse(*parts, leader)
        elif bound.operation == "scale":
            write = Write(*parts)
        else:
            write = Proportional(*parts, leader)
        (self.afterwards if on_top else self.writes).append(write)

    def _switch(self, entry: Entry) -> None:
        for place in entry.switches:
            if not self._nominal([place]).all():
                column = np.array([place.flat], dtype=np.intp)
                self.writes.append(Held(place.array, column, column[:0], np.ones(1), "set"))

    def _take(self, place: Place | Follower, label: str, composes: bool = False) -> bool:
        """Claim a number of the model; whether it comes on top of what another one made of it."""
        key = (place.array, place.flat)
        owner = self._taken.setdefault(key, label)
        if owner == label and key not in self._claimed:
            self._claimed.add(key)
            return False
        if not composes or owner == label:
            raise self.error(label, f"changes the same entry of {place.array} as {owner!r}")
        return True

    def error(self, label: str, problem: str) -> UserError:
        """The error that names domain and parameter."""
        return UserError(f"domain {self.domain.name!r}: {label}: {problem}")

    # -- whole bodies and geometry -----------------------------------------------------------------

    def _pseudo_inertia(self, parameters: Sequence[Bound]) -> None:
        """Bodies given by log-Cholesky parameters; nothing else may change their inertia."""
        for one in parameters:
            for place in one.places:
                self._take(place, one.label)
        owners = {place.flat // 10: one.label for one in parameters for place in one.places}
        for body, label in owners.items():
            for array in ARRAYS:
                for column in body_columns(array, np.array([body])).tolist():
                    self._take(Place(array, column), label)
        bodies = np.array(sorted(owners), dtype=np.intp)
        if len(bodies):
            parts = [self._bodies(array, bodies) for array in ARRAYS]
            table = log_cholesky(pseudo_inertia(parts[0][..., 0], *parts[1:]))
            self._add_inertials(LogCholesky, parameters, bodies, table)

    def _payload(self, parameters: Sequence[Bound]) -> None:
        """Point masses, on top of what else changes the bodies that carry them."""
        loaded = {
            place.flat // 4 for one in parameters for place in one.places if place.flat % 4 == 0
        }
        for one in parameters:
            self._check_values(one)
            for place in one.places:
                self._take(place, one.label)
                if place.flat // 4 not in loaded:
                    name = self.model.body(place.flat // 4).name
                    raise self.error(one.label, f"{name} has a place for a payload, but no mass")
        bodies = np.array(sorted(loaded), dtype=np.intp)
        if len(bodies):
            self._add_inertials(Payload, parameters, bodies, np.zeros((len(bodies), 4)))

    def _add_inertials(
        self, kind: type[Inertials], parameters: Sequence[Bound], bodies: IntArray, table: Array
    ) -> None:
        """Changes of `table` ((variants,) bodies, width) that make new inertias of `bodies`."""
        for array in ARRAYS:
            columns = body_columns(array, bodies)
            free = [c for c in columns.tolist() if (array, c) not in self._restored]
            self._restored |= {(array, c) for c in free}
            written = {c for write in self.writes if write.array == array for c in write.columns}
            places = [Place(array, c) for c in free if c not in written]
            if places:
                self.writes.append(self._held(places))
        width = table.shape[-1]
        nominal = table.reshape(*table.shape[:-2], -1)
        writes = []
        for one in parameters:
            for entry, source in one.entries:
                body, column = divmod(entry.places[0].flat, width)
                columns = np.searchsorted(bodies, body)[None] * width + column
                sources = np.array([source], dtype=np.intp)
                base = nominal[..., columns]
                writes.append(Write(one.field.name, columns, sources, base, one.operation))
        self.inertials.append(kind(bodies, nominal, tuple(merged(writes))))

    def _bodies(self, array: str, bodies: IntArray) -> Array:
        """Nominal values of `bodies` in one array of their inertia, ((variants,) bodies, width)."""
        places = [Place(array, column) for column in body_columns(array, bodies).tolist()]
        values = self._nominal(places)
        return values.reshape(*values.shape[:-1], len(bodies), -1)

    def _held(self, places: Sequence[Place]) -> Held:
        columns = np.array([place.flat for place in places], dtype=np.intp)
        return Held(places[0].array, columns, columns[:0], self._nominal(places), "set")

    def _geometry(self, parameters: Sequence[Bound]) -> None:
        """Compile the variants that the parameters of the geometry ask for."""
        if not parameters:
            return
        if self._spec is None:
            raise self.error(
                parameters[0].label, "geometry takes an MJCF that is compiled anew; there is none"
            )
        writes = []
        for one in parameters:
            self._check_values(one)
            for entry, source in one.entries:
                for place in entry.places:
                    for touched in (place, *touches(self.model, place)):
                        self._take(touched, one.label)
                    writes.append(self._write(entry.places, [source], one.operation))
        columns = list(dict.fromkeys(source for one in parameters for _, source in one.entries))
        try:
            tied = self._correlated_among(columns)
            coupling = bind_coupling(self.names, self._groups, tied)
            self.pool = spread(columns, self.distributions, coupling)
            draws = self.pool.draws(len(self.names))
            held = compile_pool(self.model, self._spec, merged(writes), draws)
        except UserError as error:
            raise self.error(parameters[0].label, str(error)) from None
        self.writes += held
        self._variants = {one.array: one for one in held}

    def _correlated_among(self, columns: Sequence[int]) -> list[Correlated]:
        """The correlations that name an entry of the geometry."""
        names = [self.names[column] for column in columns]
        return [one for one in self.domain.correlated if any(one.names(name) for name in names)]

    def _check_values(self, bound: Bound) -> None:
        for entry, _ in bound.entries:
            values = self._value(entry)
            problem = out_of_bounds(
                bound.field, bound.component, bound.operation, bound.distribution, values
            )
            if problem:
                raise self.error(bound.label, problem)


def _overlay(values: Array, columns: IntArray, held: Held) -> None:
    """Put the held numbers among `values` (..., entries), the numbers at `columns`."""
    _, ours, theirs = np.intersect1d(columns, held.columns, return_indices=True)
    values[..., ours] = held.nominal[..., theirs]
