"""Observations with images as Gymnasium and stable-baselines3 want them: a dict, images of uint8.

A simulation observes one row of numbers, in which an image is a term like every other. Here the
rows become {"state": all terms that are no image, (..., k) float64, and each image by its name,
(..., channels, height, width) uint8}. What has no images stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sim2real.simulation.contract import observation_space
from sim2real.task import Array, ObservationTerm

STATE = "state"
"""The key of the terms that are no image."""
Seen: TypeAlias = NDArray[Any] | dict[str, NDArray[Any]]


class ImageSpaces:
    """The `space` of observations of `terms`, and rows as that space has them."""

    def __init__(self, terms: Sequence[ObservationTerm]) -> None:
        ends = np.cumsum([term.size for term in terms]).tolist()
        self._images = {
            term.name: (slice(end - term.size, end), term.shape)
            for term, end in zip(terms, ends, strict=True)
            if term.shape
        }
        is_state = np.ones(ends[-1], dtype=bool)
        for columns, _ in self._images.values():
            is_state[columns] = False
        self._state = np.flatnonzero(is_state)
        self.space: spaces.Box | spaces.Dict = observation_space(len(is_state))
        if self._images:
            self.space = spaces.Dict(self._each())

    def _each(self) -> dict[str, spaces.Space[Any]]:
        state = {STATE: observation_space(len(self._state))} if len(self._state) else {}
        images = {
            name: spaces.Box(0, 255, shape, np.uint8) for name, (_, shape) in self._images.items()
        }
        return {**state, **images}

    def of(self, rows: Array) -> Any:
        """Observations (..., k) as the space has them."""
        if not self._images:
            return rows
        before = rows.shape[:-1]
        state = {STATE: rows[..., self._state]} if len(self._state) else {}
        images = {
            name: rows[..., columns].reshape(*before, *shape).astype(np.uint8)
            for name, (columns, shape) in self._images.items()
        }
        return {**state, **images}
