"""Closed-form divergence of diagonal Gaussians, and the Gaussian a policy's actor stands for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from sim2real.errors import UserError


@dataclass(frozen=True)
class DiagonalGaussian:
    """Independent normals: `mean` and `log_std`, each (m, num_actions).

    `log_std` is None for a deterministic actor. With `squashed` the actor ends in tanh, and these
    are its normals before it.
    """

    mean: Tensor
    log_std: Tensor | None
    squashed: bool = False

    @property
    def action(self) -> Tensor:
        """The deterministic action. Shape: (m, num_actions)."""
        return torch.tanh(self.mean) if self.squashed else self.mean


def kl_divergence(teacher: DiagonalGaussian, student: DiagonalGaussian) -> Tensor:
    """KL(teacher || student) summed over the actions. Shape: (m,).

    sum_i [ log(s_i / t_i) + (t_i^2 + (mu_t_i - mu_s_i)^2) / (2 s_i^2) - 1/2 ],  t, s: std. A
    change of variables by a bijection (SAC's tanh) leaves it as it is, so the pre-squash
    Gaussians give the divergence of the squashed actions. Nothing is sampled: an average of
    sampled log-ratios that is weighted by the density once more is not a divergence.
    """
    if teacher.log_std is None or student.log_std is None:
        raise UserError(
            "a deterministic actor (TD3) has no KL divergence; allowed for it: loss='mse', 'huber'"
        )
    log_ratio = student.log_std - teacher.log_std
    variance = torch.exp(-2.0 * log_ratio)
    distance = ((teacher.mean - student.mean) * torch.exp(-student.log_std)).square()
    return (log_ratio + 0.5 * (variance + distance) - 0.5).sum(dim=-1)


def squared_error(teacher: DiagonalGaussian, student: DiagonalGaussian) -> Tensor:
    """Squared distance of the deterministic actions, summed over them. Shape: (m,)."""
    return (teacher.action - student.action).square().sum(dim=-1)


def huber(teacher: DiagonalGaussian, student: DiagonalGaussian) -> Tensor:
    """Huber's loss of the deterministic actions, summed over them. Shape: (m,).

    |d| - 1/2 beyond a distance d of 1, d^2 / 2 within.
    """
    loss = torch.nn.functional.huber_loss(teacher.action, student.action, reduction="none")
    return loss.sum(dim=-1)


def negative_log_likelihood(teacher: DiagonalGaussian, student: DiagonalGaussian) -> Tensor:
    """-log density of an action that is drawn from the teacher, summed over them. Shape: (m,).

    Drawn by torch's global generator; its mean is the divergence plus the teacher's entropy. Of the
    Gaussians before the squash, which would add what does not depend on the student.
    """
    assert teacher.log_std is not None
    assert student.log_std is not None
    action = teacher.mean + torch.exp(teacher.log_std) * torch.randn_like(teacher.mean)
    scaled = (action - student.mean) * torch.exp(-student.log_std)
    constant = 0.5 * math.log(2.0 * math.pi)
    return (0.5 * scaled.square() + student.log_std + constant).sum(dim=-1)


def actor_gaussian(policy: BasePolicy, observations: Tensor) -> DiagonalGaussian:
    """What `policy`'s actor outputs at `observations` (m, k): PPO, SAC (pre-squash) or TD3.

    TD3's actor is deterministic: its `mean` is the action in [-1, 1] and it has no `log_std`.
    """
    if isinstance(policy, ActorCriticPolicy):
        distribution = policy.get_distribution(observations)
        if not isinstance(distribution, DiagGaussianDistribution):
            raise UserError("distillation needs a diagonal Gaussian actor; this one has another")
        mean = distribution.distribution.mean
        return DiagonalGaussian(mean, policy.log_std.expand_as(mean))
    if isinstance(policy, SACPolicy):
        mean, log_std, _ = policy.actor.get_action_dist_params(observations)
        return DiagonalGaussian(mean, log_std, squashed=True)
    if isinstance(policy, TD3Policy):
        return DiagonalGaussian(policy.actor(observations), None)
    raise UserError(f"cannot read the actor of a {type(policy).__name__}; allowed: PPO, SAC, TD3")
