"""What acts on bodies and joints, bound to a model: pushes, constant forces, limits of force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim2real.domains.distributions.distribution import Distribution


@dataclass(frozen=True)
class Push:
    """Impulses, one an interval (s), on one of `bodies`, along `axes` of `xfrc_applied`.

    Axes 0 to 2 are those of forces (N s), 3 to 5 those of torques (N m s); of two axes it is one at
    a random angle between them. All that is random is drawn under the `key`.
    """

    key: int
    bodies: NDArray[np.intp]
    impulse: Distribution
    every: Distribution
    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SpeedLimit:
    """Actuators whose force limit falls with the speed of their joints, k of them.

    Shapes (k,): `rows` of the actuators, `dofs` that they move, `signs` of their gears, and the
    context entries `sources` of the speeds at which nothing is left. Where `scaled`, the limit at
    rest is the gain times the control range, else the force range.
    """

    rows: NDArray[np.intp]
    dofs: NDArray[np.intp]
    signs: NDArray[np.float64]
    sources: NDArray[np.intp]
    scaled: NDArray[np.bool_]


@dataclass(frozen=True)
class Force:
    """A constant force (N) or torque (N m) on `bodies[k]`: the context entry `sources[k]`.

    `axis` is that of `xfrc_applied`, as of a push.
    """

    bodies: NDArray[np.intp]
    sources: NDArray[np.intp]
    axis: int
