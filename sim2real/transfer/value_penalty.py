"""H2O's penalty: lower Q values where the source moves otherwise than the target.

    weight * sum_j [ log sum_i omega_i exp(Q_j(s_i, a_i)) - E_target Q_j(s, a) ]
    omega_i = u_i / sum_k u_k,    u = max(log p_source(s'|s, a) - log p_target(s'|s, a), 0)

added to the loss of the critics; i and k are the source's samples of the minibatch (Niu et al.
2022, "When to trust your simulator: dynamics-aware hybrid offline-and-online reinforcement
learning", H2O, arXiv:2206.13464). There the gap of the dynamics is the expectation of u over s',
their divergence; here it is u of the one sample, and at least `SMALLEST`.
"""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from sim2real.policies.added_loss import add_loss, remove_loss
from sim2real.transfer.classifiers import DomainClassifiers
from sim2real.transfer.mixing import MixedReplay

SMALLEST = 1e-3
"""The least gap of dynamics of a sample."""


class ValuePenalty(BaseCallback):
    """Adds the penalty to every update of the critics of SAC or TD3."""

    def __init__(self, replay: MixedReplay, classifiers: DomainClassifiers, weight: float) -> None:
        super().__init__()
        self._replay, self._classifiers, self._weight = replay, classifiers, weight

    def loss(self, target: ReplayBufferSamples, source: ReplayBufferSamples) -> Tensor:
        """The penalty before the weight, of the samples of a minibatch."""
        algorithm: Any = self.model
        gap = (-self._classifiers.log_ratio(source)).clamp(min=SMALLEST)
        log_share = (gap / gap.sum()).log()
        parts = []
        values = algorithm.critic(source.observations, source.actions)
        known = algorithm.critic(target.observations, target.actions)
        for there, here in zip(values, known, strict=True):
            parts.append((log_share + there[:, 0]).logsumexp(dim=0) - here.mean())
        return torch.stack(parts).sum()

    def _on_training_start(self) -> None:
        algorithm: Any = self.model

        def begin_gradient() -> None:
            if len(self._replay.latest) < 2:  # its share of a minibatch may be less than a sample
                return
            loss = self._weight * self.loss(*self._replay.latest)
            loss.backward()  # type: ignore[no-untyped-call]
            self.logger.record("train/value_penalty", float(loss.detach()))

        add_loss(algorithm.critic.optimizer, begin_gradient)

    def _on_training_end(self) -> None:
        algorithm: Any = self.model
        remove_loss(algorithm.critic.optimizer)

    def _on_step(self) -> bool:
        return True
