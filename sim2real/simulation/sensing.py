"""Imperfections of sensing, applied to the observation of every world at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim2real.domains.plan import Noise
from sim2real.simulation.randomness import SENSING, EpisodeGenerators
from sim2real.task import Array, IntArray

BLOCK = 32
"""Control steps whose noise is drawn at once, so that no step loops over the worlds."""


class NoiseBlocks:
    """White noise on observation columns, drawn in blocks of `BLOCK` control steps a world.

    The noise of control step s of an episode is row s % BLOCK of the block s // BLOCK, so it
    depends on the episode alone.
    """

    def __init__(self, noises: Sequence[Noise], num_envs: int) -> None:
        self._noises = noises
        self._columns = np.concatenate([noise.columns for noise in noises] or [np.zeros(0, int)])
        self._values = np.zeros((num_envs, BLOCK, len(self._columns)))

    def __bool__(self) -> bool:
        return len(self._columns) > 0

    def refill(
        self, generators: EpisodeGenerators, ids: IntArray, episodes: IntArray, steps: IntArray
    ) -> None:
        """Draw the blocks that the worlds `ids` are in."""
        if not len(ids):
            return
        blocks = zip(episodes[ids].tolist(), (steps[ids] // BLOCK).tolist(), strict=True)
        size = self._values.shape[1:]
        uniforms = np.array(
            [generators.at(episode, SENSING, block).random(size) for episode, block in blocks]
        )
        start = 0
        for noise in self._noises:
            stop = start + len(noise.columns)
            values = noise.distribution.quantile(uniforms[:, :, start:stop])
            self._values[ids, :, start:stop] = values
            start = stop

    def add(self, observation: Array, ids: IntArray, steps: IntArray) -> None:
        """Add the noise of the present step to the rows of `observation`, those of worlds `ids`."""
        observation[:, self._columns] += self._values[ids, steps[ids] % BLOCK]
