"""SAC and TD3 whose actors may estimate what is not sensed."""

from __future__ import annotations

from collections.abc import Iterator

import stable_baselines3
import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import Tensor

from sim2real.policies.delayed_sac import DelayedSAC
from sim2real.policies.estimation import learn_estimates


class Estimating(OffPolicyAlgorithm):
    """An algorithm that learns the estimates of its actor, if there are some, after each update."""

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update actor and critics, then what the actor estimates by as many minibatches."""
        super().train(gradient_steps, batch_size)
        learn_estimates(self, self._observed(gradient_steps, batch_size))

    def _observed(self, minibatches: int, batch_size: int) -> Iterator[Tensor]:
        assert self.replay_buffer is not None
        for _ in range(minibatches):
            yield self.replay_buffer.sample(batch_size).observations


class TD3(Estimating, stable_baselines3.TD3):
    """stable-baselines3's TD3."""


class SAC(Estimating, DelayedSAC):
    """SAC, whose entropy coefficient has the class of optimizer of its policy.

    That of stable-baselines3 is always torch's Adam; `policies.adam` says what that costs.
    """

    def _setup_model(self) -> None:
        learned, initial = isinstance(self.ent_coef, str), 1.0
        if learned:
            initial = float(str(self.ent_coef).partition("_")[2] or 1.0)
            self.ent_coef = initial
        super()._setup_model()
        if learned:
            self.ent_coef = "auto"
            start = torch.full((1,), initial, device=self.device).log()
            self.log_ent_coef = start.requires_grad_(True)
            make = self.policy.optimizer_class
            self.ent_coef_optimizer = make([self.log_ent_coef], lr=self.lr_schedule(1))  # type: ignore[call-arg,assignment]
