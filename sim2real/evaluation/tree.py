"""A shallow decision tree for yes and no, whose leaves are ranges of a few named numbers.

CART with the Gini impurity (Breiman, Friedman, Olshen & Stone 1984, "Classification and regression
trees", chapter 4). A leaf says yes where its share of yes is above that of all: with rare events
the majority of every leaf would be no. A split of which both sides say the same is left out. A tree
of three levels over a few hundred rows is a page of numpy and needs no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, BoolArray, IntArray

MOST_DEPTH = 3
"""Splits on the way to a leaf: more are no sentence that one can keep in mind."""
FOLDS = 5
SMALLEST_LEAF = 5
"""Rows of a leaf, at least, and a twentieth of all."""


@dataclass(frozen=True)
class Condition:
    """low < value of `name` <= high; an end is infinite where there is no limit."""

    name: str
    low: float = -np.inf
    high: float = np.inf

    def __str__(self) -> str:
        if self.low == -np.inf:
            return f"{self.name} <= {self.high:g}"
        if self.high == np.inf:
            return f"{self.name} > {self.low:g}"
        return f"{self.low:g} < {self.name} <= {self.high:g}"


@dataclass(frozen=True)
class Leaf:
    """The rows where all `conditions` hold: their indices, the number of yes, what it says."""

    conditions: tuple[Condition, ...]
    rows: IntArray
    yes: int
    says: bool


def grow(
    values: Array, answers: BoolArray, names: Sequence[str], depth: int = MOST_DEPTH
) -> tuple[Leaf, ...]:
    """The leaves of a tree for `answers` (n,) from `values` (n, k), of `depth` splits at most.

    Together the leaves hold each row once. One leaf without a condition where no split helps.
    """
    smallest = max(SMALLEST_LEAF, len(answers) // 20)
    share = float(answers.mean())

    def leaves(rows: IntArray, conditions: dict[str, Condition], left: int) -> list[Leaf]:
        own = answers[rows]
        alone = Leaf(tuple(conditions.values()), rows, int(own.sum()), bool(own.mean() > share))
        split = _best(values[rows], own, smallest) if left else None
        if split is None:
            return [alone]
        column, at = split
        name, below = names[column], values[rows, column] <= at
        before = conditions.get(name, Condition(name))
        lower = conditions | {name: Condition(name, before.low, at)}
        upper = conditions | {name: Condition(name, at, before.high)}
        found = leaves(rows[below], lower, left - 1) + leaves(rows[~below], upper, left - 1)
        return found if len({leaf.says for leaf in found}) > 1 else [alone]

    return tuple(leaves(np.arange(len(answers)), {}, depth))


def says(leaves: Sequence[Leaf], values: Array, names: Sequence[str]) -> BoolArray:
    """What the tree says of `values` (n, k), (n,)."""
    found = np.zeros(len(values), dtype=bool)
    for leaf in leaves:
        inside = np.ones(len(values), dtype=bool)
        for one in leaf.conditions:
            column = values[:, list(names).index(one.name)]
            inside &= (column > one.low) & (column <= one.high)
        found[inside] = leaf.says
    return found


def held_out(values: Array, answers: BoolArray, names: Sequence[str], depth: int) -> BoolArray:
    """What trees say of rows that they were not grown from, (n,): one tree for each of `FOLDS`.

    Row i is in fold i modulo `FOLDS`, so the result depends on nothing drawn.
    """
    found = np.zeros(len(answers), dtype=bool)
    folds = np.arange(len(answers)) % FOLDS
    for fold in range(FOLDS):
        known = folds != fold
        leaves = grow(values[known], answers[known], names, depth)
        found[~known] = says(leaves, values[~known], names)
    return found


def _best(values: Array, answers: BoolArray, smallest: int) -> tuple[int, float] | None:
    """The column and the number to split at with the largest gain, a short one between neighbours.

    None where no split helps and leaves `smallest` rows on each side.
    """
    count = len(values)
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    yes = np.cumsum(answers[order], axis=0, dtype=np.int64)
    below = np.arange(1, count)[:, None]  # rows on the lower side of each cut
    allowed = (np.diff(ordered, axis=0) > 0) & (below >= smallest) & (count - below >= smallest)
    if not allowed.any():
        return None
    impurity = _gini(yes[:-1], below) + _gini(yes[-1] - yes[:-1], count - below)
    gains = np.where(allowed, _gini(yes[-1], np.array(count)) - impurity, -np.inf)
    cut, column = np.unravel_index(int(np.argmax(gains)), gains.shape)
    if not gains[cut, column] > 1e-9:
        return None
    return int(column), short_between(ordered[cut, column], ordered[cut + 1, column])


def _gini(yes: NDArray[np.int64], rows: IntArray) -> Array:
    """Rows times the Gini impurity p (1 - p), with p the share of yes."""
    impurity: Array = yes * (1 - yes / rows)
    return impurity


def short_between(low: float, high: float) -> float:
    """The middle of [low, high), with no more digits than it needs to lie there; 0 if it does.

    >>> short_between(0.5871, 0.6234), short_between(-3.0, 4.0)
    (0.6, 0.0)
    """
    if low <= 0 < high:
        return 0.0
    for digits in range(17):
        found = float(f"{low / 2 + high / 2:.{digits}e}")
        if low <= found < high:
            return found
    return float(low)
