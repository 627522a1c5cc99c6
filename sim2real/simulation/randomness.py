"""Counter-based random numbers: a draw depends on the seed, the episode and its name alone.

Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is keyed by seed and
episode; its counter is split into stream (what the numbers are for), block (which call or time
block) and the key of a name (`draw_keys.key_of`), so that any block of any name can be drawn again
without having drawn the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.task import IntArray

CONTEXT, START, SENSING, DISTURBANCE, ACTUATION, REDRAW, PERIOD, COURSE = 1, 2, 3, 4, 5, 6, 7, 8
"""Streams: the context of an episode, its start state, its sensors, its pushes, its actuators, its
commands, its control steps, what drifts in it."""


class EpisodeGenerators:
    """Makes the generator of any (episode, stream, block, key) under one seed."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._bits)
        self._state: Any = self._bits.state
        self._state["buffer_pos"], self._state["has_uint32"] = 4, 0
        self._key, self._counter = self._state["state"]["key"], self._state["state"]["counter"]
        self._key[0] = seed
        self.seed = seed

    def at(self, episode: int, stream: int, block: int, key: int = 0) -> np.random.Generator:
        """The generator of one block; valid until the next call of `at`.

        `key` in [0, 2**64) distinguishes draws of different names; 0 is for those without a name.
        """
        counter = self._counter
        self._key[1], counter[1], counter[2], counter[3] = episode, key, block, stream
        self._bits.state = self._state
        return self._generator


@dataclass(slots=True)
class Clock:
    """Where each of n worlds is: the index of its episode, and the control step in it, (n,)."""

    generators: EpisodeGenerators
    episodes: IntArray
    steps: IntArray


class RowRng:
    """Draws for several episodes at once: row k comes from the generator of `episodes[k]`.

    Every call is a separate block, so that the k-th call of an episode always draws the same;
    `first` (m,) are the blocks of the first call, by default 0.
    """

    def __init__(
        self,
        generators: EpisodeGenerators,
        episodes: Sequence[int],
        stream: int,
        first: Sequence[int] | None = None,
    ) -> None:
        self._first = [0] * len(episodes) if first is None else first
        self._generators = generators
        self._episodes = episodes
        self._stream = stream
        self._calls = 0

    def _generators_of_call(self, size: tuple[int, ...]) -> Iterator[np.random.Generator]:
        """The generator of each episode for one call; each is valid until the next is taken."""
        if not isinstance(size, tuple) or not size or size[0] != len(self._episodes):
            raise ValueError(
                f"size must be a tuple that starts with the number of worlds "
                f"({len(self._episodes)}), got {size!r}"
            )
        call = self._calls
        self._calls += 1
        blocks = zip(self._episodes, self._first, strict=True)
        return (self._generators.at(one, self._stream, first + call) for one, first in blocks)

    def _drawn(self, method: str, size: tuple[int, ...]) -> NDArray[np.float64]:
        """The numbers of one call, from a method of `np.random.Generator`."""
        generators = self._generators_of_call(size)
        drawn = np.empty(size)
        for row, generator in zip(_rows(drawn), generators, strict=True):
            getattr(generator, method)(out=row)
        return drawn

    def random(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Uniform in [0, 1)."""
        return self._drawn("random", size)

    def uniform(self, low: Any, high: Any, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Uniform in [low, high); the bounds broadcast to `size[1:]`."""
        drawn = self.random(size)
        drawn *= np.subtract(high, low)
        drawn += low
        return drawn

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Normal with mean 0 and standard deviation 1."""
        return self._drawn("standard_normal", size)

    def normal(self, loc: Any, scale: Any, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Normal with mean `loc` and standard deviation `scale`."""
        drawn = self.standard_normal(size)
        drawn *= scale
        drawn += loc
        return drawn

    def integers(self, low: Any, high: Any, size: tuple[int, ...]) -> NDArray[np.int64]:
        """Integers in [low, high)."""
        generators = self._generators_of_call(size)
        drawn = [generator.integers(low, high, size=size[1:]) for generator in generators]
        return np.array(drawn).reshape(size)


def _rows(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """A view of one row of numbers a world, (m, k), also where each world has a single number."""
    return drawn.reshape(len(drawn), math.prod(drawn.shape[1:]))
