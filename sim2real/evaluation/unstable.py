"""The value with which an episode counts in which the physics became unstable.

Its own return does not measure the policy: the episode was cut short, which is an advantage where
rewards are negative, and the rewards of the steps before the end may be arbitrary. So it counts
with the lowest return of the stable episodes of the same evaluation, or with its own if that is
lower. Where none is stable there is no return.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from sim2real.task import Array

NOTE = (
    "unstable: episodes whose physics broke down; each counts with the lowest return of the others "
    "in its domain, or its own if that is lower"
)
"""The note below a table with unstable episodes."""


def counted_returns(totals: ArrayLike, unstable: Iterable[bool]) -> Array:
    """The returns (n,) that `totals` (n,) count for, in which some episodes became `unstable` (n,).

    NaN everywhere if all of them did.
    """
    own = np.asarray(totals, dtype=np.float64)
    broken = np.fromiter(unstable, dtype=bool, count=len(own))
    if not broken.any():
        return own
    lowest = own[~broken].min(initial=np.inf)
    counted: Array = np.where(broken, np.minimum(own, lowest), own)
    return np.full_like(own, np.nan) if broken.all() else counted
