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

from sim2real.domains.binding.variants import Pool
from sim2real.domains.distributions.correlation import Coupling
from sim2real.domains.distributions.distribution import Distribution, Uniform
from sim2real.domains.entries.course import Changing, Redraw
from sim2real.domains.entries.keyframe import Keyframe
from sim2real.domains.entries.stage import Effect
from sim2real.domains.model_fields.inertials import Inertials
from sim2real.domains.model_fields.visual import Tilts
from sim2real.domains.writes import Block, Flat, Write, as_slice, blocks
from sim2real.task import Array, IntArray


@dataclass(frozen=True)
class Plan:
    """Everything an episode needs of a domain, bound to one model.

    `distributions[k]` is what context entry `names[k]` is drawn from, with uniform numbers under
    the key `keys[k]`. `writes` are applied first, then `inertials`, then `afterwards`, whose base
    is what the others left.
    """

    names: tuple[str, ...]
    distributions: tuple[Distribution, ...]
    keys: tuple[int, ...]
    writes: tuple[Write, ...]
    sets_constants: bool
    actuation: tuple[Effect, ...] = ()
    sensing: tuple[Effect, ...] = ()
    reward: tuple[Effect, ...] = ()
    disturbances: tuple[object, ...] = ()
    """Disturbances that act by the partners of `simulation.disturbances`."""
    loads: tuple[Effect, ...] = ()
    inertials: tuple[Inertials, ...] = ()
    tilts: tuple[Tilts, ...] = ()
    afterwards: tuple[Write, ...] = ()
    substeps: tuple[object, ...] = ()
    """Effects before every physics step, by the partners of `simulation.contexts`."""
    courses: tuple[Changing, ...] = ()
    redraws: tuple[Redraw, ...] = ()
    startup: tuple[int, ...] = ()
    """Context entries that are drawn once in each world, in its first episode."""
    coupling: Coupling | None = None
    pool: Pool | None = None
    keyframe: Keyframe | None = None

    @functools.cached_property
    def steady(self) -> frozenset[str]:
        """The entries that are drawn at each reset, and not anew within the episode."""
        redrawn = [column for one in self.redraws for column in one.columns.tolist()]
        others = {*self.startup, *redrawn}
        return frozenset(name for k, name in enumerate(self.names) if k not in others)

    def draw(self, uniforms: Array) -> Array:
        """Context values, (m, context), from numbers uniform in [0, 1) of the same shape."""
        coupled = uniforms if self.coupling is None else self.coupling.couple(uniforms)
        low, span = self._uniform
        draws: Array = low + span * coupled
        for distribution, columns in self._others:
            draws[:, columns] = distribution.quantile(coupled[:, columns])
        if self.pool is not None:
            self.pool.choose(draws, uniforms, self.distributions)
        return draws

    def settle(self, draws: Array) -> Array:
        """The `draws`, (m, context), with the geometry of the nearest compiled variant."""
        return draws if self.pool is None else self.pool.nearest(draws)

    @functools.cached_property
    def _uniform(self) -> tuple[Array, Array]:
        """Where each entry's uniform distribution begins, and how far it reaches, (context,)."""
        ends = [one.support if isinstance(one, Uniform) else (0, 0) for one in self.distributions]
        low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        return low, high - low

    @functools.cached_property
    def _others(self) -> list[tuple[Distribution, slice | IntArray]]:
        """The other distributions, and which columns are drawn from each."""
        columns: dict[Distribution, list[int]] = {}
        for column, distribution in enumerate(self.distributions):
            if not isinstance(distribution, Uniform):
                columns.setdefault(distribution, []).append(column)
        return [(one, as_slice(np.array(found))) for one, found in columns.items()]

    @functools.cached_property
    def _blocks(self) -> list[Block]:
        return blocks(self.writes)

    def apply(self, models: Models, ids: NDArray[np.integer], draws: Array) -> None:
        """Write the models of the worlds `ids`, for the draws (m, context).

        Where it `sets_constants`, what MuJoCo derives from a model (subtree masses, inverse
        weights, ...) is to be computed anew: `Batch.set_const`.
        """
        self._write(models.__getitem__, ids[:, None], draws)

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
        for block in self._blocks:
            block.apply(flat, rows, draws, variant)
        for inertials in self.inertials:
            inertials.apply(flat, rows, draws, variant)
        for tilts in self.tilts:
            tilts.apply(flat, rows, draws)
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
