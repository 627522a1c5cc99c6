"""Draws that depend on each other: one number for a group of parameters, Gaussian copulas.

Both act on the uniform numbers of a context's entries, so that each entry keeps its own
distribution, and entries that are in neither keep their draws, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator
from scipy.special import ndtr, ndtri

from sim2real.config import Config
from sim2real.errors import UserError, unknown
from sim2real.task import Array, IntArray

_ZERO = 2.0**-54  # keeps the inverse normal distribution function finite at 0
_BELOW_ONE = np.nextafter(1.0, 0.0)


class Correlated(Config):
    """Context entries whose draws are correlated: one number for all pairs, or a matrix.

    `parameters` are names of the context; that of a parameter with a draw for each element, or a
    pattern, stands for all of its entries. The correlation is that of a Gaussian copula: of normal
    entries exactly the correlation, so that they are a multivariate normal.
    """

    parameters: tuple[str, ...] = Field(min_length=1)
    correlation: float | tuple[tuple[float, ...], ...]

    @field_validator("parameters", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _valid(self) -> Correlated:
        if isinstance(self.correlation, float):
            if not -1 < self.correlation < 1:
                raise ValueError(f"a correlation must lie between -1 and 1, got {self.correlation}")
        else:
            self.matrix(len(self.correlation))
        return self

    def matrix(self, size: int) -> Array:
        """The correlation matrix of `size` entries; UserError unless it is one."""
        if isinstance(self.correlation, float):
            matrix = np.full((size, size), self.correlation)
            np.fill_diagonal(matrix, 1.0)
        else:
            if any(len(row) != len(self.correlation) for row in self.correlation):
                raise UserError("a correlation matrix must be square")
            matrix = np.array(self.correlation, dtype=np.float64)
        if matrix.shape != (size, size):
            raise UserError(f"the correlation is {matrix.shape}, but {size} entries are named")
        if not np.array_equal(matrix, matrix.T) or not (np.diag(matrix) == 1).all():
            raise UserError("a correlation matrix must be symmetric, with 1 on its diagonal")
        smallest = float(np.linalg.eigvalsh(matrix)[0])
        if smallest < 1e-9:
            raise UserError(
                f"the correlations of {size} entries contradict each other: their matrix is not "
                f"positive definite (smallest eigenvalue {smallest:.3g})"
            )
        return matrix

    def names(self, entry: str) -> bool:
        """Whether the context entry `entry` is among them."""
        return any(_matches(name, entry) for name in self.parameters)

    def describe(self) -> str:
        """The correlation in one phrase."""
        amount = self.correlation if isinstance(self.correlation, float) else "a matrix"
        return f"{', '.join(self.parameters)} correlated by {amount}"


@dataclass(frozen=True, eq=False)
class Copula:
    """Correlates the uniforms of `columns`; `factor` is the lower Cholesky factor."""

    columns: IntArray
    factor: Array

    def couple(self, uniforms: Array) -> None:
        """Replace the columns, in place; the first of them stays as it is."""
        normal = ndtri(np.maximum(uniforms[:, self.columns], _ZERO))
        coupled = ndtr(normal @ self.factor.T)
        uniforms[:, self.columns[1:]] = np.minimum(coupled[:, 1:], _BELOW_ONE)


@dataclass(frozen=True, eq=False)
class Coupling:
    """Copulas on some entries, then entry `followers[k]` takes the number of `leaders[k]`."""

    copulas: tuple[Copula, ...]
    leaders: IntArray
    followers: IntArray

    @property
    def ties(self) -> list[set[int]]:
        """The entries that are drawn together: those of each copula, each leader and follower."""
        pairs = np.stack([self.leaders, self.followers], axis=1)
        return [set(one.columns.tolist()) for one in self.copulas] + [*map(set, pairs.tolist())]

    def couple(self, uniforms: Array) -> Array:
        """Uniforms, (m, context), with the correlations of the domain."""
        coupled = uniforms.copy()
        for copula in self.copulas:
            copula.couple(coupled)
        coupled[:, self.followers] = coupled[:, self.leaders]
        return coupled


def bind_coupling(
    names: Sequence[str], groups: dict[str, list[int]], correlated: Sequence[Correlated]
) -> Coupling | None:
    """Bind groups (name -> context entries) and correlations to the entries `names`.

    The order of the domain's parameters does not matter: of a group the first in the alphabet
    leads, and what one number correlates is taken in the order of the alphabet.
    Raises UserError for unknown names, entries that are correlated twice, and matrices that are
    not positive definite.
    """
    for group, entries in groups.items():
        if len(entries) < 2:
            raise UserError(f"group {group!r} has one entry, {names[entries[0]]!r}, alone")
    leader = {
        entry: min(entries, key=names.__getitem__)
        for entries in groups.values()
        for entry in entries
    }
    taken: set[int] = set()
    copulas = []
    for one in correlated:
        found = [entry for name in one.parameters for entry in _entries(name, names)]
        columns = list(dict.fromkeys(leader.get(entry, entry) for entry in found))
        if isinstance(one.correlation, float):
            columns.sort(key=names.__getitem__)
        twice = [names[column] for column in columns if column in taken]
        if twice:
            raise UserError(f"{twice[0]!r} is correlated twice; put both into one matrix")
        if len(columns) < 2:
            raise UserError(f"a correlation needs two entries, got {names[columns[0]]!r}")
        taken |= set(columns)
        factor: Array = np.linalg.cholesky(one.matrix(len(columns)))  # type: ignore[assignment]
        copulas.append(Copula(np.array(columns, dtype=np.intp), factor))
    followers = [entry for entry, first in leader.items() if entry != first]
    if not copulas and not followers:
        return None
    leaders = [leader[entry] for entry in followers]
    return Coupling(tuple(copulas), _integers(leaders), _integers(followers))


def _entries(name: str, names: Sequence[str]) -> list[int]:
    """The entries that `name` stands for: itself, a parameter of many elements, or a pattern."""
    found = [index for index, entry in enumerate(names) if _matches(name, entry)]
    if not found:
        raise unknown("context entry", name, names)
    return found


def _matches(name: str, entry: str) -> bool:
    return name in (entry, entry.partition(":")[0]) or fnmatchcase(entry, name)


def _integers(values: Any) -> IntArray:
    return np.array(values, dtype=np.intp)
