"""SAC with fewer updates of its actor than of its critics, which may be many, and normalized.

With batch normalization there are no target networks: the values of a state and of the next are
computed in one batch, so that both are normalized by the statistics of both,

    [Q(s, a), Q(s', a')] = Q([s, s'], [a, a']),    a' ~ pi(. | s')

(Bhatt et al. 2024, CrossQ, arXiv:1902.05605, section 3; there the inputs of the first layer are
batch-normalized, too, which here the policy's own statistics normalize).

With a subset of many critics the values of the next state are those of a few, drawn anew for each
update, and the actor learns from the mean of all,

    y = r + gamma (min_{j in J} Q_j(s', a') - alpha log pi),    max_pi E mean_j Q_j - alpha log pi

(Chen et al. 2021, REDQ, arXiv:2101.05982; of layer-normalized critics Ball et al. 2023, RLPD,
arXiv:2302.02948).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import polyak_update
from torch import Tensor
from torch.nn import functional

from sim2real.policies.networks import SACPolicy

Losses = dict[str, list[float]]


class DelayedSAC(stable_baselines3.SAC):
    """SAC with an update of the actor after every `policy_delay` updates of the critics.

    With a delay of 1, without batch normalization and without a subset of the critics it is
    stable-baselines3's.
    """

    policy_delay: int = 1
    critic_subset: int | None = None

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Update the critics `gradient_steps` times, and the actor in between."""
        if self.policy_delay == 1 and not self._is_crossed and self.critic_subset is None:
            super().train(gradient_steps, batch_size)
            return
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        learning = (self.actor.optimizer, self.critic.optimizer, self.ent_coef_optimizer)
        self._update_learning_rate([one for one in learning if one is not None])
        losses: Losses = {"critic_loss": [], "actor_loss": [], "ent_coef_loss": [], "ent_coef": []}
        for _ in range(gradient_steps):
            self._n_updates += 1
            drawn = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            self._update_critic(drawn, losses)
            if self._n_updates % self.policy_delay == 0:
                self._update_actor(drawn, losses)
            rate = 1.0 if self._is_crossed else self.tau
            polyak_update(self.critic.parameters(), self.critic_target.parameters(), rate)
            polyak_update(self.batch_norm_stats, self.batch_norm_stats_target, 1.0)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, values in losses.items():
            if values:
                self.logger.record(f"train/{name}", float(np.mean(values)))

    @property
    def _is_crossed(self) -> bool:
        return cast(SACPolicy, self.policy).critic_norm == "batch"

    @property
    def _temperature(self) -> Tensor:
        learned = self.log_ent_coef
        return self.ent_coef_tensor if learned is None else learned.detach().exp()

    def _update_critic(self, drawn: ReplayBufferSamples, losses: Losses) -> None:
        with torch.no_grad():
            actions, log_prob = self.actor.action_log_prob(drawn.next_observations)
        if self._is_crossed:
            observations = torch.cat([drawn.observations, drawn.next_observations])
            both = self.critic(observations, torch.cat([drawn.actions, actions]))
            pairs = [one.chunk(2) for one in both]
            present, following = [pair[0] for pair in pairs], [pair[1].detach() for pair in pairs]
        else:
            present = list(self.critic(drawn.observations, drawn.actions))
            with torch.no_grad():
                following = list(self.critic_target(drawn.next_observations, actions))
        if self.critic_subset is not None:
            chosen = torch.randperm(len(following))[: self.critic_subset]
            following = [following[index] for index in chosen.tolist()]
        lowest = torch.cat(following, dim=1).min(dim=1, keepdim=True).values
        discount = self.gamma if drawn.discounts is None else drawn.discounts
        soft = lowest - self._temperature * log_prob[:, None]
        target = drawn.rewards + (1.0 - drawn.dones) * discount * soft
        loss = 0.5 * torch.stack([functional.mse_loss(one, target) for one in present]).sum()
        self.critic.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic.optimizer.step()
        losses["critic_loss"].append(loss.item())

    def _update_actor(self, drawn: ReplayBufferSamples, losses: Losses) -> None:
        temperature = self._temperature
        actions, log_prob = self.actor.action_log_prob(drawn.observations)
        losses["ent_coef"].append(temperature.item())
        if self.ent_coef_optimizer is not None and self.log_ent_coef is not None:
            excess = (log_prob + float(self.target_entropy)).detach()
            coefficient_loss = -(self.log_ent_coef * excess).mean()
            self.ent_coef_optimizer.zero_grad()
            coefficient_loss.backward()  # type: ignore[no-untyped-call]
            self.ent_coef_optimizer.step()
            losses["ent_coef_loss"].append(coefficient_loss.item())
        self.critic.set_training_mode(False)
        values = torch.cat(self.critic(drawn.observations, actions), dim=1)
        self.critic.set_training_mode(True)
        everyone = self.critic_subset is not None
        value = values.mean(dim=1) if everyone else values.min(dim=1).values
        loss = (temperature * log_prob - value).mean()
        self.actor.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.actor.optimizer.step()
        losses["actor_loss"].append(loss.item())
