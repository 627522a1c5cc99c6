"""Noise on actions that makes a log tell more: normal, with a correlation time and own sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sim2real.errors import UserError
from sim2real.task import Array

MOST_NOISE = 100.0
"""Halves of the range of an action, beyond which all is clipped."""
LONGEST_TIME = 1_000.0
"""s of correlation, at most."""


@dataclass(frozen=True)
class Excitation:
    """Normal noise that is added to the actions, a first-order autoregression of each.

    `std` is its standard deviation in halves of the range of an action, one for each action or one
    number for all; `time` is the time in s after which its correlation has fallen to 1/e; 0: white.
    Raises UserError for what is negative, too large or no number.
    """

    std: tuple[float, ...]
    time: float = 0.0

    def __post_init__(self) -> None:
        if not self.std or not all(0.0 <= one <= MOST_NOISE for one in self.std):
            shown = ", ".join(f"{one:g}" for one in self.std)
            raise UserError(f"noise is {shown}; allowed: 0 to {MOST_NOISE:g} halves of the range")
        if not 0.0 <= self.time <= LONGEST_TIME:
            raise UserError(f"time is {self.time:g} s; allowed: 0 to {LONGEST_TIME:g}")

    def draw(self, shape: tuple[int, int, int], dt: float, rng: np.random.Generator) -> Array:
        """The noise of t control steps of `dt` s in n worlds with k actions, `shape` (t, n, k)."""
        if len(self.std) not in (1, shape[-1]):
            raise UserError(
                f"the excitation has {len(self.std)} sizes; allowed: 1 or {shape[-1]}, the actions"
            )
        noise = rng.standard_normal(shape)
        kept = math.exp(-dt / self.time) if self.time > 0.0 else 0.0
        if kept:
            fresh = math.sqrt(1.0 - kept**2)
            for step in range(1, len(noise)):
                noise[step] = kept * noise[step - 1] + fresh * noise[step]
        scaled: Array = noise * np.array(self.std)
        return scaled
