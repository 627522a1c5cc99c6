"""Mass, inertia and centre of mass of bodies changed together, as one physical rigid body."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from sim2real.domains.model_fields.inertia import (
    body_inertia,
    from_log_cholesky,
    pseudo_inertia,
    with_point_mass,
)
from sim2real.domains.writes import Flat, Write
from sim2real.errors import UserError
from sim2real.task import Array, BoolArray, IntArray

ARRAYS = {"body_mass": 1, "body_inertia": 3, "body_ipos": 3, "body_iquat": 4}
"""The model arrays that make a rigid body, and their numbers a body."""


def body_columns(array: str, bodies: IntArray) -> IntArray:
    """The flat places of `bodies` (b,) in one of `ARRAYS`, body by body."""
    width = ARRAYS[array]
    return (bodies[:, None] * width + np.arange(width)).reshape(-1)


@dataclass(frozen=True, eq=False)
class Inertials:
    """The inertia of some `bodies` (b,) as a function of a table of parameters.

    `nominal` is the table, (b * width,), or (variants, b * width); `writes` change it as they
    change a model array. Bodies whose row of the table is nominal stay as they are, bit for bit.
    """

    bodies: IntArray
    nominal: Array
    writes: tuple[Write, ...]

    def apply(
        self,
        flat: Flat,
        rows: IntArray,
        draws: Array,
        variant: IntArray | None,
    ) -> None:
        """Change the worlds `rows` (m, 1) of the model arrays for the draws (m, context)."""
        varies = variant is not None and self.nominal.ndim == 2
        nominal = self.nominal[variant] if varies else self.nominal
        table = np.array(np.broadcast_to(nominal, (len(draws), self.nominal.shape[-1])))
        for write in self.writes:
            table[:, write.columns] = write.varied(draws, variant)
        shape = (len(draws), len(self.bodies), -1)
        changed = (table != nominal).reshape(shape).any(axis=-1)
        arrays = [(flat(array), columns) for array, columns in self._columns.items()]
        old = [array[rows, columns].reshape(shape) for array, columns in arrays]
        table, (mass, inertia, ipos, iquat) = table.reshape(shape), old
        with np.errstate(over="ignore", invalid="ignore"):
            pseudo = self.pseudo(table, mass[..., 0], inertia, ipos, iquat)
        if not np.isfinite(pseudo).all():
            raise UserError("a body's inertia is not finite; allowed: parameters of a smaller size")
        new = body_inertia(pseudo)
        changed = self.acts(table, changed)[..., None]
        for (array, columns), before, after in zip(arrays, old, new, strict=True):
            values = np.where(changed, after.reshape(shape), before)
            array[rows, columns] = values.reshape(len(draws), -1)

    @functools.cached_property
    def _columns(self) -> dict[str, IntArray]:
        return {array: body_columns(array, self.bodies) for array in ARRAYS}

    def acts(self, table: Array, changed: BoolArray) -> BoolArray:
        """Which bodies, (m, b), are changed, given which rows of the table are."""
        return changed

    def pseudo(self, table: Array, mass: Array, inertia: Array, ipos: Array, iquat: Array) -> Array:
        """The new pseudo-inertias, (m, b, 4, 4), for the table (m, b, width)."""
        raise NotImplementedError


class LogCholesky(Inertials):
    """Bodies given by their ten log-Cholesky parameters."""

    def pseudo(self, table: Array, mass: Array, inertia: Array, ipos: Array, iquat: Array) -> Array:
        """The body of the parameters alone."""
        return from_log_cholesky(table)


class Payload(Inertials):
    """Bodies that carry a point mass: a table of kg, and of x, y, z in m in the body's frame."""

    def acts(self, table: Array, changed: BoolArray) -> BoolArray:
        """A payload of 0 kg changes nothing, wherever it is."""
        acts: BoolArray = table[..., 0] != 0
        return acts

    def pseudo(self, table: Array, mass: Array, inertia: Array, ipos: Array, iquat: Array) -> Array:
        """The body as it is, and the point."""
        own = pseudo_inertia(mass, inertia, ipos, iquat)
        return with_point_mass(own, table[..., 0], table[..., 1:])
