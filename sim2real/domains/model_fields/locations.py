"""Where a quantity lies in the arrays of a model."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """One number of a model array, by its flat index; it holds `sign` times the quantity."""

    array: str
    flat: int
    sign: float = 1.0


class Follower(NamedTuple):
    """A number that changes by the same ratio as a quantity, or by its `inverse`."""

    array: str
    flat: int
    inverse: bool = False


class Quantity(NamedTuple):
    """One number that a parameter changes.

    `places` hold it; `followers` keep their ratio to it; its nominal value is the product of
    `value`. `composes`: it may come on top of another parameter's change, and `switches`
    are flags that a `set` turns on.
    """

    places: tuple[Place, ...]
    followers: tuple[Follower, ...]
    value: tuple[Place, ...]
    composes: bool = False
    switches: tuple[Place, ...] = ()
