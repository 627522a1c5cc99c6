"""A domain bound to a model: which numbers an episode draws, and where each of them goes.

Every value is computed from the nominal model, never from the last draw.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from sim2real.domains.acting import Force, Push
from sim2real.domains.correlation import Coupling
from sim2real.domains.distributions import Distribution, Uniform
from sim2real.domains.effects import Effect
from sim2real.domains.inertials import Inertials
from sim2real.domains.variants import Pool
from sim2real.domains.writes import Flat, Write, as_slice
from sim2real.task import Array, IntArray


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
        for quantile, columns in self._quantiles:
            draws[:, columns] = quantile(coupled[:, columns])
        if self.pool is not None:
            self.pool.choose(draws, uniforms, self.distributions)
        return draws

    def settle(self, draws: Array) -> Array:
        """As `draws`, (m, context), but the geometry is that of the nearest compiled variant."""
        return draws if self.pool is None else self.pool.nearest(draws)

    @functools.cached_property
    def _quantiles(self) -> list[tuple[Callable[[Array], Array], slice | IntArray]]:
        """What makes values of which columns, in as few calls as there are kinds of it."""
        columns: dict[Distribution | type[Uniform], list[int]] = {}
        for column, distribution in enumerate(self.distributions):
            kind = Uniform if isinstance(distribution, Uniform) else distribution
            columns.setdefault(kind, []).append(column)
        return [
            (
                _uniforms([self.distributions[column] for column in found])
                if isinstance(kind, type)
                else kind.quantile,
                as_slice(np.array(found)),
            )
            for kind, found in columns.items()
        ]

    def apply(self, models: Models, ids: NDArray[np.integer], draws: Array) -> None:
        """Write the models of the worlds `ids`, for the draws (m, context).

        Derived constants (subtree masses, inverse weights, ...) are recomputed where needed.
        """
        self._write(models.__getitem__, ids[:, None], draws)
        if self.sets_constants:
            models.batch.set_const(ids)

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
        ids = rows[:, 0]
        for write in self.writes:
            at = ids if isinstance(write.place, slice) else rows
            flat(write.array)[at, write.place] = write.varied(draws, variant)
        for inertials in self.inertials:
            inertials.apply(flat, rows, draws, variant)
        for write in self.afterwards:
            array = flat(write.array)
            array[rows, write.columns] = write.changed(draws, array[rows, write.columns])


class Models(dict[str, Array]):
    """The models of a batch: array name -> its values in each world, (n, entries), to write."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch

    def __missing__(self, name: str) -> Array:
        """Give the worlds values of their own."""
        self[name] = self.batch.expand(name).reshape(self.batch.nsim, -1)
        return self[name]


def _uniforms(distributions: Sequence[Any]) -> Callable[[Array], Array]:
    """The quantile functions of uniform distributions, a column each, as one."""
    low = np.array([distribution.low for distribution in distributions])
    span = np.array([distribution.high for distribution in distributions]) - low
    return lambda u: low + span * u
