"""CMA-ES: search of the best point in a box by the values at sampled points alone.

    x_i ~ N(m, s^2 C),    m <- sum_i w_i x_i  over the better half,    C, s <- the paths of m

(Hansen 2016, "The CMA evolution strategy: a tutorial", arXiv:1604.00772, with its default
constants and without negative weights.) A point outside the box is moved to its nearest point.
"""

from __future__ import annotations

import math

import numpy as np

from sim2real.task import Array


class Evolution:
    """A search for the largest value from `mean`, (d,), with the standard deviation `step`.

    `low` and `high`, (d,), are the corners of the box.
    """

    def __init__(
        self, mean: Array, step: float, low: Array, high: Array, population: int | None = None
    ) -> None:
        size = len(mean)
        self.mean, self.step = np.array(mean, float), step
        self.population = population or default_population(size)
        self._low, self._high = low, high
        weights = np.log((self.population + 1) / 2) - np.log(np.arange(1, self.population // 2 + 1))
        self._weights = weights / weights.sum()
        effective = 1.0 / np.square(self._weights).sum()
        self._effective = effective
        self._rate_step = (effective + 2) / (size + effective + 5)
        self._damping = (
            1 + 2 * max(0.0, math.sqrt((effective - 1) / (size + 1)) - 1) + self._rate_step
        )
        self._rate_path = (4 + effective / size) / (size + 4 + 2 * effective / size)
        self._rate_one = 2 / ((size + 1.3) ** 2 + effective)
        self._rate_many = min(
            1 - self._rate_one,
            2 * (effective - 2 + 1 / effective) / ((size + 2) ** 2 + effective),
        )
        self._usual = math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))
        self._covariance = np.eye(size)
        self._path, self._path_step = np.zeros(size), np.zeros(size)
        self._generations = 0

    def ask(self, generator: np.random.Generator) -> Array:
        """The points of a generation. Shape: (population, d)."""
        values, axes = np.linalg.eigh(self._covariance)
        normal = generator.normal(size=(self.population, len(self.mean)))
        spread = normal * np.sqrt(np.maximum(values, 0.0)) @ axes.T
        found: Array = np.clip(self.mean + self.step * spread, self._low, self._high)
        return found

    def tell(self, points: Array, returns: Array) -> None:
        """Learn from the `returns`, (population,), of the `points` of a generation."""
        best = points[np.argsort(-np.asarray(returns), kind="stable")[: len(self._weights)]]
        moves = (best - self.mean) / self.step
        move = self._weights @ moves
        self.mean = self.mean + self.step * move
        self._generations += 1
        values, axes = np.linalg.eigh(self._covariance)
        whitened = axes @ (axes.T @ move / np.sqrt(np.maximum(values, 1e-12)))
        rate = self._rate_step
        self._path_step = (1 - rate) * self._path_step + math.sqrt(
            rate * (2 - rate) * self._effective
        ) * whitened
        length = float(np.linalg.norm(self._path_step))
        expected = math.sqrt(1 - (1 - rate) ** (2 * self._generations)) * self._usual
        is_short = length < (1.4 + 2 / (len(self.mean) + 1)) * expected
        rate = self._rate_path
        self._path = (1 - rate) * self._path + is_short * math.sqrt(
            rate * (2 - rate) * self._effective
        ) * move
        one, many = self._rate_one, self._rate_many
        stalled = (1 - is_short) * self._rate_path * (2 - self._rate_path)
        self._covariance = (
            (1 - one - many + one * stalled) * self._covariance
            + one * np.outer(self._path, self._path)
            + many * (self._weights * moves.T) @ moves
        )
        self.step *= math.exp(self._rate_step / self._damping * (length / self._usual - 1))


def default_population(size: int) -> int:
    """Points in a generation of a search in `size` dimensions: 4 + 3 ln(size).

    >>> default_population(10)
    10
    """
    return 4 + int(3 * math.log(size))
