"""PPO with a discount that may rise, and rollouts that may be mirrored or learned from in part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import stable_baselines3
from torch import Tensor

from sim2real.policies.estimation import learn_estimates
from sim2real.policies.rollouts import Rollouts
from sim2real.policies.symmetry import Mirroring
from sim2real.policies.worst_share import WorstShare


class PPO(stable_baselines3.PPO):
    """PPO whose discount is that of `gamma_at`, if given, at the part of the training that is done.

    It changes before a rollout, for its advantages and for the bootstrapped ends of its episodes.
    """

    gamma_at: Callable[[float], float] | None = None
    worst: WorstShare | None = None
    """What share of the worlds is learned from; `sim2real.learning.worst_share` selects it."""
    mirroring: Mirroring | None = None
    rollout_buffer: Rollouts

    def collect_rollouts(self, *args: Any, **options: Any) -> bool:
        """Set the discount, then collect a rollout."""
        if self.gamma_at is not None:
            done = self.num_timesteps / max(self._total_timesteps, 1)
            self.gamma = self.rollout_buffer.gamma = self.gamma_at(done)
            self.logger.record("train/gamma", self.gamma)
        return super().collect_rollouts(*args, **options)

    def train(self) -> None:
        """Update the policy from the rollout, and from its mirror image if there is one."""
        if self.mirroring is None:
            super().train()
        else:
            self._train_mirrored(self.mirroring)
        learn_estimates(self, self._observed())

    def _observed(self) -> Iterator[Tensor]:
        """The observations of as many minibatches as those of the update."""
        for _ in range(self.n_epochs):
            yield from (one.observations for one in self.rollout_buffer.get(self.batch_size))

    def _train_mirrored(self, mirroring: Mirroring) -> None:
        with mirroring.applied(self, self.rollout_buffer) as found:
            super().train()
        asymmetry = float(np.mean(found)) if found else 0.0
        self.logger.record("train/asymmetry", asymmetry)
        if mirroring.doubles:  # the divergence of the update alone
            divergence = self.logger.name_to_value["train/approx_kl"] - asymmetry
            self.logger.record("train/approx_kl", max(divergence, 0.0))
