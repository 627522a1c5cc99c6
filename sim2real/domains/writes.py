"""Some entries of one model array, and how they follow from the draws of an episode."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, IntArray

Flat = Callable[[str], Array]
"""The values of a model array by name, (worlds, entries), to read and to write."""

Operation = Literal["scale", "add", "set"]
"""The operation of a parameter on a nominal value: multiply it, add to it, or replace it."""


@dataclass(frozen=True)
class Write:
    """Some entries of one model array: entry `columns[k]` follows draw `sources[k]`.

    `nominal` are their values in the nominal model, (entries,), or in each compiled variant of it,
    (variants, entries).
    """

    array: str
    columns: IntArray
    sources: IntArray
    nominal: Array
    operation: Operation

    @functools.cached_property
    def place(self) -> slice | IntArray:
        """The columns, as a slice where they are neighbours."""
        return as_slice(self.columns)

    @functools.cached_property
    def drawn(self) -> slice | IntArray:
        """The sources, as a slice where they are neighbours."""
        return as_slice(self.sources)

    def values(self, draws: Array) -> Array:
        """New entries, (m, entries), for the draws (m, context)."""
        return self.changed(draws, self.nominal)

    def varied(self, draws: Array, variant: IntArray | None) -> Array:
        """New entries where each row of the draws has its `variant` (m,) of the model."""
        if variant is None or self.nominal.ndim == 1:
            return self.values(draws)
        return self.changed(draws, self.nominal[variant])

    def changed(self, draws: Array, base: Array) -> Array:
        """The entries `base`, (m, entries) or (entries,), as changed by the draws."""
        drawn: Array = draws[:, self.drawn]
        if self.operation == "scale":
            return base * drawn
        signed = self.signed(drawn)
        if self.operation == "set":
            return signed
        # adding a zero would turn a nominal -0.0 into 0.0
        return np.where(drawn == 0, base, base + signed)

    def signed(self, drawn: Array) -> Array:
        """The values to set or add, of the draws (m, entries)."""
        return drawn


@dataclass(frozen=True)
class Signed(Write):
    """Entries that hold the quantity with the signs `signs`, (entries,), such as a bias of -kp."""

    signs: Array

    def signed(self, drawn: Array) -> Array:
        """The draws with the signs of their entries."""
        return self.signs * drawn


@dataclass(frozen=True)
class Late(Write):
    """Delays of actuators in s, shorter by a millionth.

    The engine compares times that have rounding errors. A delay of whole physics steps would be a
    step longer at some times than at others.
    """

    def changed(self, draws: Array, base: Array) -> Array:
        """The values of `Write`, a millionth shorter."""
        return (1.0 - 1e-6) * super().changed(draws, base)


@dataclass(frozen=True)
class Proportional(Write):
    """Entries that keep their ratio to a `leader` that is scaled, set or added to."""

    leader: Array

    def varied(self, draws: Array, variant: IntArray | None) -> Array:
        """New entries, with the leader of each variant."""
        if variant is None or (self.nominal.ndim == 1 and self.leader.ndim == 1):
            return self.values(draws)
        nominal = self.nominal if self.nominal.ndim == 1 else self.nominal[variant]
        leader = self.leader if self.leader.ndim == 1 else self.leader[variant]
        return self._at(nominal, self.ratio(draws, leader))

    def changed(self, draws: Array, base: Array) -> Array:
        """base * (new leader / nominal leader)."""
        return self._at(base, self.ratio(draws, self.leader))

    def ratio(self, draws: Array, leader: Array) -> Array:
        """New leader / nominal leader."""
        drawn: Array = draws[:, self.drawn]
        if self.operation == "scale":
            return drawn
        return drawn / leader if self.operation == "set" else 1.0 + drawn / leader

    def _at(self, base: Array, ratio: Array) -> Array:
        return base * ratio


@dataclass(frozen=True)
class Inverse(Proportional):
    """Entries that keep their product with the leader."""

    def _at(self, base: Array, ratio: Array) -> Array:
        return base / ratio


@dataclass(frozen=True)
class Fixed(Write):
    """Entries that no draw changes: those of the nominal model, or of each variant."""

    def changed(self, draws: Array, base: Array) -> Array:
        """The base itself."""
        return base


def as_slice(indices: IntArray) -> slice | IntArray:
    """Neighbouring indices as a slice, which NumPy reads and writes without a copy."""
    if len(indices) and (np.diff(indices) == 1).all():
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


@dataclass(frozen=True)
class Block:
    """Entries of several arrays whose values are computed at once.

    `targets` are the arrays, the place of the entries in each, and the part of the values for it.
    """

    write: Write
    targets: tuple[tuple[str, slice | IntArray, slice], ...]

    def apply(
        self, flat: Flat, rows: NDArray[np.integer], draws: Array, variant: IntArray | None
    ) -> None:
        """Write the entries of the worlds `rows` (m, 1), for the draws (m, context)."""
        values = self.write.varied(draws, variant)
        for array, place, part in self.targets:
            at = rows[:, 0] if isinstance(place, slice) else rows
            flat(array)[at, place] = values[..., part]


def merged(writes: Iterable[Write]) -> list[Write]:
    """The same writes, joined: those of one kind to one array, at the place of the first."""
    return [_joined(group) for group in _alike(writes, lambda write: write.array)]


def blocks(writes: Iterable[Write]) -> list[Block]:
    """The same writes, in as few blocks as there are kinds of them."""
    found = []
    for group in _alike(writes, lambda _: None):
        ends = np.cumsum([len(write.columns) for write in group]).tolist()
        parts = [
            slice(end - len(write.columns), end) for write, end in zip(group, ends, strict=True)
        ]
        targets = [(one.array, one.place, part) for one, part in zip(group, parts, strict=True)]
        found.append(Block(_joined(group), tuple(targets)))
    return found


def _alike(writes: Iterable[Write], also: Callable[[Write], object]) -> Iterable[list[Write]]:
    """Groups of writes that can be joined, and for which `also` gives the same.

    Where several writes change one entry, the later ones are in later groups.
    """
    groups: dict[tuple[Any, ...], list[Write]] = {}
    layers: dict[tuple[str, int], int] = {}
    for index, write in enumerate(writes):
        entries = [(write.array, column) for column in write.columns.tolist()]
        layer = max((layers.get(entry, 0) for entry in entries), default=0)
        layers.update(dict.fromkeys(entries, layer + 1))
        known = type(write) in (Write, Signed, Late, Proportional, Inverse, Fixed)
        shapes = (write.nominal.ndim, getattr(write, "leader", write.nominal).ndim)
        kind = (type(write), also(write), write.operation, shapes) if known else (index,)
        groups.setdefault((layer, *kind), []).append(write)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _joined(group: list[Write]) -> Write:
    if len(group) == 1:
        return group[0]
    parts: dict[str, Any] = {
        field.name: getattr(group[0], field.name)
        if field.name in ("array", "operation")
        else np.concatenate([getattr(write, field.name) for write in group], axis=-1)
        for field in fields(group[0])
    }
    return type(group[0])(**parts)
