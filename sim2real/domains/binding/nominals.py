"""The base of every value: the numbers of the nominal model, or of each variant of it."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from sim2real.domains.model_fields.locations import Follower, Place, Quantity
from sim2real.domains.model_fields.table import nominal_array
from sim2real.domains.writes import Fixed
from sim2real.task import Array, IntArray


class Nominals:
    """Numbers of `model`; once it has `variants`, of these."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model = model
        self._variants: dict[str, Fixed] = {}

    def vary(self, own: Sequence[Fixed]) -> None:
        """From now on the base is that of the variants, whose own numbers these are."""
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
