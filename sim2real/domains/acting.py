"""What acts on bodies from outside, bound to a model: pushes and constant forces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim2real.domains.distributions import Distribution


@dataclass(frozen=True)
class Push:
    """Impulses (N s), one an interval (s), on one of `bodies`, along `axis` (None: horizontal).

    All that is random of them is drawn under the `key`.
    """

    key: int
    bodies: NDArray[np.intp]
    impulse: Distribution
    every: Distribution
    axis: int | None


@dataclass(frozen=True)
class Force:
    """A constant force on `bodies[k]` along `axis`: the context entry `sources[k]`, in N."""

    bodies: NDArray[np.intp]
    sources: NDArray[np.intp]
    axis: int
