"""A domain bound to a model: which numbers an episode draws, and where each of them goes.

Every value is computed from the nominal model, never from the last draw.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from sim2real.domains.acting import Force, Push
from sim2real.domains.distributions import Distribution
from sim2real.domains.dynamics import Operation
from sim2real.domains.effects import Effect
from sim2real.task import Array


@dataclass(frozen=True)
class Write:
    """Some entries of one model array: entry `columns[k]` follows draw `sources[k]`."""

    array: str
    columns: NDArray[np.intp]
    sources: NDArray[np.intp]
    nominal: Array
    operation: Operation

    def values(self, draws: Array) -> Array:
        """New entries, (m, entries), for the draws (m, context)."""
        drawn = draws[:, self.sources]
        if self.operation == "scale":
            return self.nominal * drawn
        if self.operation == "set":
            return drawn
        # adding a zero would turn a nominal -0.0 into 0.0
        return np.where(drawn == 0, self.nominal, self.nominal + drawn)


@dataclass(frozen=True)
class Proportional(Write):
    """Entries that keep their ratio to a `leader` that is set or added to."""

    leader: Array

    def values(self, draws: Array) -> Array:
        """nominal * (new leader / nominal leader)."""
        drawn = draws[:, self.sources]
        ratio = drawn / self.leader if self.operation == "set" else 1.0 + drawn / self.leader
        return self.nominal * ratio


@dataclass(frozen=True)
class Plan:
    """Everything an episode needs of a domain, bound to one model.

    `distributions[k]` is what context entry `names[k]` is drawn from.
    """

    names: tuple[str, ...]
    distributions: tuple[Distribution, ...]
    writes: tuple[Write, ...]
    sets_constants: bool
    actuation: tuple[Effect, ...] = ()
    sensing: tuple[Effect, ...] = ()
    reward: tuple[Effect, ...] = ()
    pushes: tuple[Push, ...] = ()
    forces: tuple[Force, ...] = ()

    def draw(self, uniforms: Array) -> Array:
        """Context values, (m, context), from numbers uniform in [0, 1) of the same shape."""
        draws = np.empty_like(uniforms)
        for distribution, columns in self._columns.items():
            draws[:, columns] = distribution.quantile(uniforms[:, columns])
        return draws

    @functools.cached_property
    def _columns(self) -> dict[Distribution, slice | list[int]]:
        """The context entries of each distribution, so that each is evaluated once."""
        columns: dict[Distribution, list[int]] = {}
        for column, distribution in enumerate(self.distributions):
            columns.setdefault(distribution, []).append(column)
        return {distribution: _as_slice(found) for distribution, found in columns.items()}

    def apply(self, batch: Batch, ids: NDArray[np.integer], draws: Array) -> None:
        """Write the models of the worlds `ids`, for the draws (m, context).

        Derived constants (subtree masses, inverse weights, ...) are recomputed where needed.
        """
        rows = ids[:, None]
        for write in self.writes:
            array = batch.expand(write.array).reshape(batch.nsim, -1)
            array[rows, write.columns] = write.values(draws)
        if self.sets_constants:
            batch.set_const(ids)

    def apply_model(self, model: mujoco.MjModel, data: mujoco.MjData, draws: Array) -> None:
        """As `apply`, on one model, for the draws (context,); `data` is scratch space of `model`.

        Every entry is computed from the nominal model, so nothing is left of earlier draws.
        """
        for write in self.writes:
            entries = write.values(draws[None])[0]
            if write.array.startswith("opt."):
                name = write.array.removeprefix("opt.")
                kind = type(getattr(model.opt, name))
                if kind is np.ndarray:
                    getattr(model.opt, name)[write.columns] = entries
                else:
                    setattr(model.opt, name, kind(entries[0]))
            else:
                getattr(model, write.array).reshape(-1)[write.columns] = entries
        if self.sets_constants:
            mujoco.mj_setConst(model, data)


def _as_slice(columns: list[int]) -> slice | list[int]:
    """Neighbouring columns as a slice, which NumPy reads and writes without a copy."""
    first, last = columns[0], columns[-1]
    return slice(first, last + 1) if last - first + 1 == len(columns) else columns
