"""PPO with a discount that may rise, and rollouts that may be mirrored or learned from in part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
import stable_baselines3
import torch
from torch import Tensor

from sim2real.policies.estimation import learn_estimates
from sim2real.policies.rollouts import Rollouts
from sim2real.policies.symmetry import Mirroring
from sim2real.policies.worst_share import WorstShare


class Schedule(Protocol):
    """What an option of PPO is when the part `done` (0 to 1) of the training is done."""

    def gamma_at(self, done: float) -> float:
        """The discount."""

    def ent_coef_at(self, done: float) -> float:
        """The weight of the entropy."""

    def most_log_std_at(self, done: float) -> float | None:
        """An upper limit of the log standard deviations, if there is one."""


class PPO(stable_baselines3.PPO):
    """PPO whose discount, entropy bonus and largest noise are those of a `schedule`, if given.

    They change before a rollout: the discount is that of its advantages and of the bootstrapped
    ends of its episodes, and the noise that with which its actions are drawn.
    """

    schedule: Schedule | None = None
    worst: WorstShare | None = None
    """What share of the worlds is learned from; `sim2real.learning.worst_share` selects it."""
    mirroring: Mirroring | None = None
    rollout_buffer: Rollouts

    def collect_rollouts(self, *args: Any, **options: Any) -> bool:
        """Follow the schedule, then collect a rollout."""
        if self.schedule is not None:
            self._follow(self.schedule)
        return super().collect_rollouts(*args, **options)

    def _follow(self, schedule: Schedule) -> None:
        done = self.num_timesteps / max(self._total_timesteps, 1)
        self.gamma = self.rollout_buffer.gamma = schedule.gamma_at(done)
        self.ent_coef = schedule.ent_coef_at(done)
        self.logger.record("train/gamma", self.gamma)
        self.logger.record("train/ent_coef", self.ent_coef)
        most = schedule.most_log_std_at(done)
        if most is not None:
            with torch.no_grad():
                cast(Tensor, self.policy.log_std).clamp_(max=most)

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
