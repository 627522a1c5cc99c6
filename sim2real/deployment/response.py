"""How observations answer commands, as a linear model of one control step.

    x[t+1] - x[t] = offset + weights . (x[t], u[t], u[t-1], ..., u[t-lags])

It is fitted to what a policy met in training. A log of a robot with a swapped, reversed, scaled or
shifted channel, or a later one, is predicted worse; which repair predicts it best tells the fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.world import Array

MOST = 25.0
"""Squared residual in units of its training, at most: one fall does not decide."""
LEAST = 0.02
"""The smallest residual that counts, as a share of the typical change of a column."""
RIDGE = 1e-4
LATER, EARLIER = 6, 2
"""Control steps by which commands are tried later and earlier."""
NUMBERS = ("weights", "offset", "scale")
Episode = tuple[Array, Array]
"""Observed numbers (m, k) and commands (m, nu) of one episode."""


@dataclass(frozen=True)
class Response:
    """Shapes: weights (k + (lags + 1) nu, k); offset, scale (k,), the residual's size."""

    weights: Array
    offset: Array
    scale: Array
    lags: int

    @classmethod
    def fit(cls, episodes: Sequence[Episode], lags: int) -> Response:
        """The model that predicts the episodes best."""
        parts = [_features(one, lags) for one in episodes if len(one[0]) > lags + 1]
        given, change = (np.concatenate(part) for part in zip(*parts, strict=True))
        mean, spread = given.mean(axis=0), given.std(axis=0)
        size = np.where(spread > 1e-9, spread, 1.0)
        normal = (given - mean) / size
        square = normal.T @ normal + RIDGE * len(normal) * np.eye(normal.shape[1])
        center = change.mean(axis=0)
        weights = np.linalg.solve(square, normal.T @ (change - center)) / size[:, None]
        offset = center - mean @ weights
        missed = np.sqrt(np.mean((change - offset - given @ weights) ** 2, axis=0))
        floor = np.maximum(LEAST * np.sqrt(np.mean(change**2, axis=0)), 1e-9)
        return cls(weights, offset, np.maximum(missed, floor), lags)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Response:
        """From the numbers of `plain`."""
        weights, offset, scale = (np.array(plain[n], dtype=float) for n in NUMBERS)
        return cls(weights, offset, scale, int(plain["lags"]))

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {n: rounded(getattr(self, n)) for n in NUMBERS} | {"lags": self.lags}

    def residuals(self, episodes: Sequence[Episode]) -> Array:
        """What is not predicted, in units of the training's, (rows, k)."""
        found = [np.zeros((0, len(self.scale)))]
        for one in episodes:
            if len(one[0]) > self.lags + 1:
                given, change = _features(one, self.lags)
                found.append((change - self.offset - given @ self.weights) / self.scale)
        return np.concatenate(found)

    def scores(self, episodes: Sequence[Episode]) -> Array:
        """The mean squared residual of each column, (k,); about 1 in training."""
        missed = np.minimum(self.residuals(episodes) ** 2, MOST)
        return missed.mean(axis=0) if len(missed) else np.zeros(len(self.scale))

    def shifts(self, episodes: Sequence[Episode]) -> Array:
        """The constant that each column seems to be shifted by, (k,), alone."""
        effect = self.weights[: len(self.scale)] / self.scale
        missed = self.residuals(episodes).mean(axis=0)
        shifts: Array = -(effect @ missed) / np.maximum((effect**2).sum(axis=1), 1e-12)
        return shifts

    def late(self, episodes: Sequence[Episode]) -> float:
        """How many control steps the commands act later than in the mean of the training."""

        def error(by: float) -> float:
            return float(self.scores(later(episodes, by)).mean())

        best = min(range(-EARLIER, LATER + 1), key=error)
        return min((best + quarter / 4 for quarter in range(-3, 4)), key=error)


def later(episodes: Sequence[Episode], by: float) -> list[Episode]:
    """The episodes with the commands of `by` control steps before beside each observation.

    Between two control steps a command that was held is the mean of both.
    """
    whole = int(np.floor(by))
    share, first, end = by - whole, max(whole + 1, 0), min(whole, 0)
    found = []
    for seen, commands in episodes:
        rows = np.arange(first, len(seen) + end)
        mixed = (1 - share) * commands[rows - whole] + share * commands[rows - whole - 1]
        found.append((seen[rows], mixed))
    return [one for one in found if len(one[0])]


def _features(episode: Episode, lags: int) -> Episode:
    """What the model is given, (m - 1 - lags, k + (lags + 1) nu), and the change, (.., k)."""
    seen, commands = episode
    rows = np.arange(lags, len(seen) - 1)
    given = np.hstack([seen[rows], *(commands[rows - lag] for lag in range(lags + 1))])
    return given, seen[rows + 1] - seen[rows]


def rounded(values: Array) -> Any:
    """Lists of numbers with six digits."""
    return [rounded(one) for one in values] if np.ndim(values) else float(f"{values:.6g}")
