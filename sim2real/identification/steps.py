"""Damped Gauss-Newton steps of shares in the unit cube, with delays at whole physics steps."""

from __future__ import annotations

import numpy as np

from sim2real.identification.family import Family
from sim2real.task import Array, BoolArray

EDGE = 1e-4
"""Distance from a boundary of the unit cube at which a share counts as on it."""


def targets(
    family: Family, shares: Array, information: Array, gradient: Array, damping: float
) -> list[Array]:
    """Where a damped step leads, with delays at whole physics steps, or where they are now."""
    free = np.ones(len(shares), dtype=bool)
    anywhere = damped(shares, information, gradient, damping, free)
    whole = np.where(family.is_delay, family.snapped(anywhere), shares)
    bases = [whole, shares] if (whole != shares).any() else [shares]
    return [
        damped(shares, information, gradient, damping, ~family.is_delay, base) for base in bases
    ]


def damped(
    shares: Array,
    information: Array,
    gradient: Array,
    damping: float,
    free: BoolArray,
    base: Array | None = None,
) -> Array:
    """A damped step of the `free` shares within the unit cube; the others go to the `base`.

    What would leave the cube stays at its boundary.
    """
    target = shares.copy() if base is None else base.copy()
    free = free.copy()
    matrix = information + damping * np.diag(np.diag(information))
    while free.any():
        right = gradient - information @ np.where(free, 0.0, target - shares)
        target[free] = shares[free] + np.linalg.solve(matrix[np.ix_(free, free)], right[free])
        outside = free & ((target < 0.0) | (target > 1.0))
        target = np.clip(target, 0.0, 1.0)
        if not outside.any():
            break
        free &= ~outside
    return target


def straight(shares: Array, information: Array, gradient: Array, free: BoolArray) -> Array:
    """The undamped step (d,) of the `free` shares, as far as it stays within the unit cube.

    A share at its boundary that would leave the cube stays there. The direction is kept, so that
    shares that are known in combination only keep it.
    """
    free = free.copy()
    while True:
        step = np.zeros_like(shares)
        step[free] = np.linalg.solve(information[np.ix_(free, free)], gradient[free])
        blocked = free & (((shares <= EDGE) & (step < 0.0)) | ((shares >= 1 - EDGE) & (step > 0.0)))
        if not blocked.any():
            break
        free &= ~blocked
    ends = np.where(step > 0.0, 1.0 - shares, shares)
    longest = np.min(ends / np.maximum(np.abs(step), 1e-12), initial=1.0, where=step != 0.0)
    found: Array = longest * step
    return found
