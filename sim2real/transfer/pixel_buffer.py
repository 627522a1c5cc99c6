"""The states of a distillation with images, whose pixels are bytes: a quarter of the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sim2real.policies.images import places
from sim2real.task import ObservationTerm


class PixelBuffer(ReplayBuffer):
    """A replay buffer of observations of `terms`, without next observations.

    The pixels are stored in their place, so that a checkpoint has them as of any other buffer.
    """

    def __init__(
        self,
        size: int,
        action_space: spaces.Space[Any],
        n_envs: int,
        terms: Sequence[ObservationTerm],
    ) -> None:
        is_pixel = np.concatenate(
            [np.full(len(place), bool(t.shape)) for t, place in places(terms)]
        )
        self._numbers, self._pixels = np.flatnonzero(~is_pixel), np.flatnonzero(is_pixel)
        shown = spaces.Box(-np.inf, np.inf, (len(self._numbers),), np.float32)
        super().__init__(size, shown, action_space, "cpu", n_envs)
        shape = (self.buffer_size, n_envs, len(self._pixels))
        self.next_observations = np.zeros(shape, np.uint8)

    def add(self, obs: NDArray[Any], *others: Any) -> None:
        """Store the observations (n, k) of a control step; the first of the others is the next."""
        super().add(obs[:, self._numbers], obs[:, self._pixels], *others[1:])

    def _get_samples(self, batch_inds: NDArray[Any], env: Any = None) -> ReplayBufferSamples:
        drawn = super()._get_samples(batch_inds, env)
        seen = torch.empty(len(batch_inds), len(self._numbers) + len(self._pixels))
        seen[:, self._numbers] = drawn.observations
        seen[:, self._pixels] = drawn.next_observations.float()
        return drawn._replace(observations=seen)
