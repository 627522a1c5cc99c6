"""Models of the dynamics that learn from transitions: Gaussians of s' - s, given s and a."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from stable_baselines3.common.torch_layers import create_mlp
from torch import Tensor, nn

from sim2real.policies.normalizer import RunningNormalizer

LOG_STD = (-5.0, 1.0)
"""Range of the log standard deviations of changes, which are normalized to about 1."""


class Transitions(Protocol):
    """Observations before and after actions. Shapes: (m, n), (m, k), (m, n)."""

    @property
    def observations(self) -> Tensor:
        """What was observed before."""

    @property
    def actions(self) -> Tensor:
        """What was done."""

    @property
    def next_observations(self) -> Tensor:
        """What was observed then."""


class TransitionModels(nn.Module):
    """An ensemble of Gaussian models of the change s' - s, given s and a."""

    def __init__(
        self, observation_size: int, action_size: int, members: int, layers: Sequence[int]
    ) -> None:
        super().__init__()
        size = observation_size + action_size
        self.inputs, self.changes = RunningNormalizer(size), RunningNormalizer(observation_size)
        self.members = nn.ModuleList(
            nn.Sequential(*create_mlp(size, 2 * observation_size, list(layers), nn.SiLU))
            for _ in range(members)
        )

    def loss(self, samples: Transitions) -> Tensor:
        """The sum over members of the negative log-likelihood, each of a bootstrap sample."""
        known, change = _known(samples), samples.next_observations - samples.observations
        self.inputs.update(known)
        self.changes.update(change)
        seen, wanted = self.inputs(known), self.changes(change)
        losses = []
        for member in self.members:
            chosen = torch.randint(len(seen), (len(seen),))
            mean, log_std = _gaussian(member(seen[chosen]))
            error = (wanted[chosen] - mean) * (-log_std).exp()
            losses.append((0.5 * error.square() + log_std).mean())
        return torch.stack(losses).sum()

    def errors(self, samples: Transitions) -> tuple[Tensor, Tensor]:
        """The errors in standard deviations, and the log standard deviations, of each member.

        Both (members, m, n), in normalized changes, with gradients.
        """
        change = samples.next_observations - samples.observations
        seen, wanted = self.inputs(_known(samples)), self.changes(change)
        found = [_gaussian(member(seen)) for member in self.members]
        errors = [(wanted - mean) * (-log_std).exp() for mean, log_std in found]
        return torch.stack(errors), torch.stack([log_std for _, log_std in found])

    @torch.no_grad()
    def draw(self, samples: Transitions) -> Tensor:
        """A next observation of each sample by each member. Shape: (members, m, n)."""
        seen = self.inputs(_known(samples))
        spread, center = self.changes.running_var.sqrt().float(), self.changes.running_mean.float()
        drawn = []
        for member in self.members:
            mean, log_std = _gaussian(member(seen))
            change = mean + log_std.exp() * torch.randn_like(mean)
            drawn.append(samples.observations.float() + center + spread * change)
        return torch.stack(drawn)


def _known(samples: Transitions) -> Tensor:
    return torch.cat([samples.observations, samples.actions], dim=1)


def _gaussian(output: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_std = output.chunk(2, dim=1)
    return mean, log_std.clamp(*LOG_STD)
