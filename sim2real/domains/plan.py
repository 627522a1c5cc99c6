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
from sim2real.domains.correlation import Coupling
from sim2real.domains.distributions import Distribution
from sim2real.domains.effects import Effect
from sim2real.domains.inertials import Inertials
from sim2real.domains.variants import Pool
from sim2real.domains.writes import Flat, Write
from sim2real.task import Array


@dataclass(frozen=True)
class Plan:
    """Everything an episode needs of a domain, bound to one model.

    `distributions[k]` is what context entry `names[k]` is drawn from. `writes` are applied first,
    then `inertials`, then `afterwards`, whose base is what the others left.
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
    inertials: tuple[Inertials, ...] = ()
    afterwards: tuple[Write, ...] = ()
    coupling: Coupling | None = None
    pool: Pool | None = None

    def draw(self, uniforms: Array) -> Array:
        """Context values, (m, context), from numbers uniform in [0, 1) of the same shape."""
        coupled = uniforms if self.coupling is None else self.coupling.couple(uniforms)
        draws = np.empty_like(coupled)
        for distribution, columns in self._columns.items():
            draws[:, columns] = distribution.quantile(coupled[:, columns])
        if self.pool is not None:
            self.pool.choose(draws, uniforms, self.distributions)
        return draws

    def settle(self, draws: Array) -> Array:
        """As `draws`, (m, context), but the geometry is that of the nearest compiled variant."""
        return draws if self.pool is None else self.pool.nearest(draws)

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
        self._write(lambda name: batch.expand(name).reshape(batch.nsim, -1), ids[:, None], draws)
        if self.sets_constants:
            batch.set_const(ids)

    def apply_model(self, model: mujoco.MjModel, data: mujoco.MjData, draws: Array) -> None:
        """As `apply`, on one model, for the draws (context,); `data` is scratch space of `model`.

        Every entry is computed from the nominal model, so nothing is left of earlier draws.
        """
        options: dict[str, Array] = {}

        def flat(name: str) -> Array:
            if not name.startswith("opt."):
                array: Array = getattr(model, name).reshape(1, -1)
                return array
            value = getattr(model.opt, name.removeprefix("opt."))
            if isinstance(value, np.ndarray):
                return value.reshape(1, -1)
            return options.setdefault(name, np.array([[value]]))

        self._write(flat, np.zeros((1, 1), dtype=np.intp), draws[None])
        for name, value in options.items():
            setattr(model.opt, name.removeprefix("opt."), value[0, 0].item())
        if self.sets_constants:
            mujoco.mj_setConst(model, data)

    def _write(self, flat: Flat, rows: NDArray[np.integer], draws: Array) -> None:
        variant = None if self.pool is None else self.pool.index(draws)
        for write in self.writes:
            flat(write.array)[rows, write.columns] = write.varied(draws, variant)
        for inertials in self.inertials:
            inertials.apply(flat, rows, draws, variant)
        for write in self.afterwards:
            array = flat(write.array)
            array[rows, write.columns] = write.changed(draws, array[rows, write.columns])


def _as_slice(columns: list[int]) -> slice | list[int]:
    """Neighbouring columns as a slice, which NumPy reads and writes without a copy."""
    first, last = columns[0], columns[-1]
    return slice(first, last + 1) if last - first + 1 == len(columns) else columns
