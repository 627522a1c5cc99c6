"""Context entries and model writes of a domain's parameters, each checked as it comes."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from sim2real.domains.distributions import Distribution
from sim2real.domains.domain import Domain
from sim2real.domains.dynamics import Dynamics, Operation
from sim2real.domains.fields import (
    FIELDS,
    STRENGTH,
    ModelField,
    array_name,
    component_columns,
    element_rows,
    nominal_array,
)
from sim2real.domains.plan import Proportional, Write
from sim2real.errors import UserError
from sim2real.task import Array


class Builder:
    """Collects context names, distributions and writes, checking each parameter as it comes."""

    def __init__(self, domain: Domain, model: mujoco.MjModel) -> None:
        self.domain = domain
        self.model = model
        self.names: list[str] = []
        self.distributions: list[Distribution] = []
        self.writes: list[Write] = []
        self._taken: dict[tuple[str, int], str] = {}

    def dynamics(self, parameter: Dynamics) -> None:
        """One `dynamics` parameter."""
        operation, distribution = parameter.operation
        self.model_field(
            FIELDS[parameter.field],
            parameter.of,
            parameter.component,
            operation,
            distribution,
            parameter.shared,
            parameter.label,
        )

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
        nominal = nominal_array(self.model, array_name(entry))
        columns = self._columns(entry, component, operation, nominal.shape[1])
        rows = self._rows(entry, of, operation, nominal[:, columns], label)
        sources = self.draws(label, list(rows), distribution, shared or entry.kind == "option")
        self._check_values(entry, label, operation, distribution, rows, nominal[:, columns])
        places = [
            (row, column, source)
            for source, element in zip(sources, rows, strict=True)
            for row in rows[element]
            for column in columns
        ]
        self._write(array_name(entry), places, nominal, operation, label)
        for follower in entry.follows:
            self._follow(entry, follower, rows, sources, operation, nominal, label)

    def delay(
        self, of: Sequence[str], distribution: Distribution, shared: bool, label: str
    ) -> list[int]:
        """The engine's own actuator delay, on the history buffers that `prepare` built in.

        Returns the context entry of each actuator.
        """
        rows = element_rows(self.model, STRENGTH, of)
        sources = self.draws(label, list(rows), distribution, shared)
        places = [(rows[name][0], 0, source) for name, source in zip(rows, sources, strict=True)]
        nominal = nominal_array(self.model, "actuator_delay")
        self._write("actuator_delay", places, nominal, "set", label)
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

    def _columns(
        self, entry: ModelField, component: str | None, operation: Operation, width: int
    ) -> list[int]:
        if component is None and entry.components and operation != "scale":
            allowed = ", ".join(entry.components)
            raise self.error(entry.name, f"{operation!r} needs a component: {allowed}")
        return component_columns(entry, component, width)

    def _rows(
        self, entry: ModelField, of: Sequence[str], operation: Operation, nominal: Array, label: str
    ) -> dict[str, list[int]]:
        """The elements meant; those on which the operation has no effect are refused or, where no
        element was named, left out."""
        try:
            rows = element_rows(self.model, entry, of)
        except UserError as error:
            raise self.error(label, str(error)) from None
        idle = {
            name
            for name, places in rows.items()
            if not self._acts(entry, operation, nominal, places)
        }
        if idle and (of or len(idle) == len(rows)):
            reason = "it is 0, so a scale has no effect; use add or set"
            if entry.name == "jnt_range":
                reason = "the joint has no limits"
            raise self.error(label, f"{', '.join(sorted(idle)) or entry.name}: {reason}")
        return {name: places for name, places in rows.items() if name not in idle}

    def _acts(
        self, entry: ModelField, operation: Operation, nominal: Array, rows: list[int]
    ) -> bool:
        if entry.name == "jnt_range":
            return bool(self.model.jnt_limited[rows].all())
        return operation != "scale" or bool(np.any(nominal[rows] != 0))

    def _check_values(
        self,
        entry: ModelField,
        label: str,
        operation: Operation,
        distribution: Distribution,
        rows: dict[str, list[int]],
        nominal: Array,
    ) -> None:
        """Refuse a range that reaches values the quantity cannot have."""
        values = nominal[[row for places in rows.values() for row in places]]
        ends = np.array(distribution.support)
        with np.errstate(invalid="ignore"):
            reached = {
                "scale": values[..., None] * ends,
                "add": values[..., None] + ends,
                "set": np.broadcast_to(ends, (*values.shape, 2)),
            }[operation]
        lowest = float(np.nanmin(reached))
        too_low = lowest <= entry.at_least if entry.open_bound else lowest < entry.at_least
        if too_low and np.isfinite(entry.at_least):
            bound = "greater than" if entry.open_bound else "at least"
            raise self.error(
                label,
                f"{operation}: {distribution.words()} reaches {lowest:g}; {entry.name} must be "
                f"{bound} {entry.at_least:g}"
                + ("; use truncated_normal" if np.isinf(lowest) else ""),
            )

    def _write(
        self,
        array: str,
        places: list[tuple[int, int, int]],
        nominal: Array,
        operation: Operation,
        label: str,
    ) -> None:
        columns = [row * nominal.shape[1] + column for row, column, _ in places]
        for column in columns:
            owner = self._taken.setdefault((array, column), label)
            if owner != label or columns.count(column) > 1:
                raise self.error(label, f"changes the same entry of {array} as {owner!r}")
        self.writes.append(
            Write(
                array,
                np.array(columns, dtype=np.intp),
                np.array([source for _, _, source in places], dtype=np.intp),
                nominal.reshape(-1)[columns],
                operation,
            )
        )

    def _follow(
        self,
        entry: ModelField,
        follower: str,
        rows: dict[str, list[int]],
        sources: list[int],
        operation: Operation,
        nominal: Array,
        label: str,
    ) -> None:
        """Scale `follower` by the same ratio: inertia with mass, bias and force limit with gain.

        Where the operation is add or set, the ratio is (new value) / (nominal value); a follower
        scales by draw * (1 / nominal) for set, and adds draw * (follower / nominal) for add.
        """
        values = nominal_array(self.model, follower)
        width = 3 if follower == "actuator_biasprm" else values.shape[1]
        places = [
            (row, column, source)
            for source, element in zip(sources, rows, strict=True)
            for row in rows[element]
            for column in range(width)
            if values[row, column] != 0
        ]
        if not places:
            return
        if operation == "scale":
            self._write(follower, places, values, "scale", label)
            return
        leader = np.array([nominal[row, 0] for row, _, _ in places])
        if np.any(leader == 0):
            raise self.error(label, f"{operation} needs a nominal value other than 0; use scale")
        self._write(follower, places, values, operation, label)
        write = self.writes.pop()
        self.writes.append(
            Proportional(
                write.array, write.columns, write.sources, write.nominal, write.operation, leader
            )
        )

    def error(self, label: str, problem: str) -> UserError:
        """The error of a parameter, with the domain named."""
        return UserError(f"domain {self.domain.name!r}: {label}: {problem}")
