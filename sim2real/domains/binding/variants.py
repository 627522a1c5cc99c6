"""Geometry from a pool: variants of the model, compiled once, of which an episode draws one.

Sizes, lengths and offsets decide what the compiler computes (masses, inertias, bounding volumes),
so a model is compiled for each of a fixed number of points, spread evenly over each range: a Latin
hypercube (McKay, Beckman and Conover 1979), whose coordinates depend on their names alone. What
these models differ in is written per world, like every other parameter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from sim2real.domains.distributions.correlation import Coupling
from sim2real.domains.distributions.distribution import Constant, Distribution
from sim2real.domains.writes import Fixed
from sim2real.errors import UserError
from sim2real.task import Array, IntArray

VARIANTS = 64
"""Models in a pool, where not all of its parameters are constants."""
_REFITTED = {"bvh_child", "bvh_nodeid", "bvh_depth"}
"""The order of bounding volumes, any of which is right: `mj_setConst` fits them to it."""
_COMPUTED = set(mujoco.MjModel._setconst_outputs) - set(mujoco.MjModel._setconst_inputs)
"""The fields that `mj_setConst` computes from the rest."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The points of a pool: variant v has `values[v]` (k,) in the context entries `columns` (k,).

    One number of an episode, that of the first entry, selects the variant.
    """

    columns: IntArray
    values: Array
    distributions: tuple[Distribution, ...]

    def choose(self, draws: Array, uniforms: Array, distributions: Sequence[Distribution]) -> None:
        """Write variants into the draws (m, context), of those in the range of `distributions`."""
        now = [distributions[column] for column in self.columns]
        allowed = np.arange(len(self.values))
        if tuple(now) != self.distributions:
            inside = np.ones(len(self.values), dtype=bool)
            for values, distribution in zip(self.values.T, now, strict=True):
                low, high = distribution.support
                inside &= (values >= low) & (values <= high)
            if not inside.any():
                draws[:] = self.nearest(draws)
                return
            allowed = allowed[inside]
        index = (uniforms[:, self.columns[0]] * len(allowed)).astype(np.intp)
        draws[:, self.columns] = self.values[allowed[index]]

    def index(self, draws: Array) -> IntArray:
        """The variant, (m,), that is nearest to each of the draws (m, context)."""
        off = np.abs(draws[:, None, self.columns] - self.values) / self._spans
        index: IntArray = off.sum(axis=-1).argmin(axis=1)
        return index

    def draws(self, size: int) -> Array:
        """The points among the entries of a context of `size`, (variants, size); others are 0."""
        draws = np.zeros((len(self.values), size))
        draws[:, self.columns] = self.values
        return draws

    def nearest(self, draws: Array) -> Array:
        """The draws with the geometry of the nearest variant."""
        settled = draws.copy()
        settled[:, self.columns] = self.values[self.index(draws)]
        return settled

    @property
    def _spans(self) -> Array:
        spans = np.ptp(self.values, axis=0)
        return np.where(spans == 0, 1.0, spans)


def spread(
    columns: Sequence[int],
    distributions: Sequence[Distribution],
    keys: Sequence[int],
    coupling: Coupling | None,
) -> Pool:
    """A pool of points for the context entries `columns`, of all `distributions` and `keys`.

    One point if all of them are constants. Raises UserError where a group or a correlation ties
    some of them to other entries.
    """
    chosen = tuple(distributions[column] for column in columns)
    places = np.array(columns, dtype=np.intp)
    count = 1 if all(isinstance(one, Constant) for one in chosen) else VARIANTS
    points = np.full((count, len(distributions)), 0.5)
    for column in columns:
        points[:, column] = _stratified(keys[column], count)
    if coupling is not None:
        _check_apart(coupling, set(columns))
        points = coupling.couple(points)
    values = [one.quantile(points[:, c]) for one, c in zip(chosen, columns, strict=True)]
    return Pool(places, np.stack(values, axis=1), chosen)


def _stratified(key: int, count: int) -> Array:
    """One number in each of `count` equal parts of [0, 1), in random order, (count,)."""
    generator = np.random.Generator(np.random.Philox(key=key))
    numbers: Array = (generator.random(count).argsort() + generator.random(count)) / count
    return numbers


def _check_apart(coupling: Coupling, geometry: set[int]) -> None:
    if any(tie & geometry and tie - geometry for tie in coupling.ties):
        raise UserError(
            "geometry comes from a pool of models and cannot be tied to other parameters; "
            "correlate or group parameters of the geometry among themselves"
        )


def compile_variants(
    nominal: mujoco.MjModel, count: int, build: Callable[[int], mujoco.MjModel]
) -> list[Fixed]:
    """The differences of `count` models from the nominal one, as writes, (count, entries).

    The models are built by `build` in threads: the compiler releases the interpreter's lock.
    Raises UserError where the models differ in fields that all worlds share.
    """
    tables: dict[str, NDArray[np.float64]] = {}
    own = _arrays(nominal)
    images = {name: values.tobytes() for name, values in own.items()}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for index, model in enumerate(threads.map(build, range(count))):
            for name, values in _differences(own, images, model).items():
                if name not in tables:
                    tables[name] = np.tile(_flat(own[name]), (count, 1))
                tables[name][index] = values
            del model  # at once: it may hold large assets
    writes = []
    for name, table in tables.items():
        columns = np.flatnonzero((table != _flat(own[name])).any(axis=0))
        values = table[:, columns] if count > 1 else table[0, columns]
        writes.append(Fixed(name, columns, columns[:0], values, "set"))
    return writes


def _arrays(model: mujoco.MjModel) -> dict[str, NDArray[Any]]:
    """Every array of a model that `mj_setConst` does not compute, by name."""
    values = {name: getattr(model, name) for name in dir(model) if not name.startswith("_")}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, np.ndarray) and name not in _COMPUTED and name not in _REFITTED
    }


def _differences(
    own: dict[str, NDArray[Any]], images: dict[str, bytes], model: mujoco.MjModel
) -> dict[str, Array]:
    """The arrays of `model` that differ from `own`, flat; UserError where none may.

    `images` are the bytes of `own`: most arrays are equal to the last bit, which is quick to see.
    """
    changed = {}
    for name, values in own.items():
        other = getattr(model, name)
        if values.shape == other.shape and (
            images[name] == other.tobytes() or (values == other).all()
        ):
            continue
        if values.shape != other.shape or name not in mujoco.batch.MODEL_FIELDS:
            raise UserError(f"the geometry changes {name}, which all worlds share")
        changed[name] = _flat(other)
    return changed


def _flat(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(-1)
