"""PPO's rollouts: a part of which may be learned from, and of which more may be made."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sim2real.task import BoolArray, IntArray

Expand = Callable[[RolloutBufferSamples, IntArray], RolloutBufferSamples]
"""What is learned from in place of samples, which are those of the steps (m,) of a rollout."""


class Rollouts(RolloutBuffer):
    """A rollout of which the steps that are `selected`, (steps, worlds), are learned from.

    There are as many minibatches as of the whole rollout, each with an equal part of the selected
    steps; None selects everything. Each minibatch is what `expand` makes of it, if that is given.
    """

    selected: BoolArray | None = None
    expand: Expand | None = None

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of the selected steps, in random order."""
        if self.selected is None:
            yield from super().get(batch_size)
            return
        self.flatten()
        steps = self.buffer_size * self.n_envs
        minibatches = -(-steps // (batch_size or steps))
        chosen = np.random.permutation(np.flatnonzero(self.selected.T))  # noqa: NPY002
        for part in np.array_split(chosen, min(minibatches, max(len(chosen) // 2, 1))):
            yield self._get_samples(part)

    def flatten(self) -> None:
        """Put the steps of one world after the other, as minibatches number them."""
        if not self.generator_ready:
            for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True

    def _get_samples(
        self, batch_inds: IntArray, env: VecNormalize | None = None
    ) -> RolloutBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        return samples if self.expand is None else self.expand(samples, batch_inds)
