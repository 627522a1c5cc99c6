"""PPO with a learning rate that follows the size of its updates."""

from __future__ import annotations

from typing import Any

import torch

from sim2real.policies.ppo import PPO

DESIRED_KL = 0.01
"""Kullback-Leibler divergence from the policy before an update to the one after it."""
FACTOR = 1.5
"""What the learning rate is divided or multiplied by."""
LOWEST, HIGHEST = 1e-5, 1e-2
"""Bounds of the learning rate."""
UNCHANGED = 1e-9
"""Divergence up to which an update left the policy as it was, as the warm-up of a critic does."""


class KLAdaptivePPO(PPO):
    """PPO that divides its learning rate by 1.5 after too large an update, and multiplies it after
    too small a one.

    An update is too large where its Kullback-Leibler divergence is above twice the desired 0.01,
    and too small below half of it (Schulman et al. 2017, arXiv:1707.06347, section 4, for the
    weight of a penalty; Rudin et al. 2022, arXiv:2109.11978, for the learning rate, there after
    each minibatch). The optimizer has the learning rate, so checkpoints have it too.
    """

    def train(self) -> None:
        """Update the policy from the rollout, then adapt the learning rate for the next update."""
        super().train()
        divergence = float(self.logger.name_to_value["train/approx_kl"])
        for group in self.policy.optimizer.param_groups:
            group["lr"] = adapted(group["lr"], divergence)

    def _update_learning_rate(self, optimizers: Any) -> None:
        """Leave the learning rate as the last update has set it."""
        optimizer: torch.optim.Optimizer = optimizers
        self.logger.record("train/learning_rate", optimizer.param_groups[0]["lr"])


def adapted(rate: float, divergence: float) -> float:
    """The learning rate after an update of this divergence; as it was if the policy is unchanged.

    >>> adapted(1e-3, 0.03), adapted(1e-3, 0.01), adapted(1e-3, 0.001), adapted(1e-3, 0.0)
    (0.0006666666666666666, 0.001, 0.0015, 0.001)
    """
    if divergence > 2.0 * DESIRED_KL:
        return max(rate / FACTOR, LOWEST)
    if UNCHANGED < divergence < 0.5 * DESIRED_KL:
        return min(rate * FACTOR, HIGHEST)
    return rate
