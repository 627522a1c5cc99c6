"""Observation statistics as part of the policy: saved, moved and exported with its weights.

The statistics are buffers, not parameters: no optimizer touches them, and `update` is called
between rollouts only. They do not change within a rollout and the PPO update that follows,
because a change would move the probability ratio of PPO without any learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from torch import Tensor, nn

from sim2real.errors import UserError

CLIP = 10.0
"""Normalized observations are clipped to +-CLIP standard deviations."""
EPSILON = 1e-8
"""Added to the variance, so that a constant entry is divided by something."""


class RunningNormalizer(nn.Module):
    """Subtract the running mean and divide by the running standard deviation, clipped to +-10.

    Buffers (float64, so that a count of 1e9 still adds up): `running_mean` (size,),
    `running_var` (size,), `count` (). The names begin with `running_` because that is what
    stable-baselines3 copies to target networks besides the parameters.

    `columns` are those of the observation that it learns from, by default the first. Where some
    were added later, `count` is (size,): each column has its own (`count_each`).
    """

    running_mean: Tensor
    running_var: Tensor
    count: Tensor

    def __init__(self, size: int, columns: Sequence[int] | None = None) -> None:
        super().__init__()
        self.columns = range(size) if columns is None else tuple(columns)
        self.register_buffer("running_mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("running_var", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def count_each(self) -> None:
        """Count the observations of each column on its own from now on."""
        self.count = self.count.expand(self.running_mean.shape).clone()

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **options: Any
    ) -> None:
        """As PyTorch's; one count or several, whatever was saved."""
        saved = state_dict.get(f"{prefix}count")
        if saved is not None and saved.shape in ((), self.running_mean.shape):
            self.count = torch.zeros_like(saved)
        super()._load_from_state_dict(state_dict, prefix, *args, **options)

    @torch.no_grad()
    def update(self, observations: Tensor) -> None:
        """Add a batch of observations. Shape: (m, size). Rows that are not finite are left out.

        Chan, Golub & LeVeque 1979: two sets (n, mean, var) and (m, mean', var') pool to
        mean + d m / (n + m) and (n var + m var' + d^2 n m / (n + m)) / (n + m), d = mean' - mean.
        """
        batch = observations.to(torch.float64)
        batch = batch[torch.isfinite(batch).all(dim=1)]
        size = batch.shape[0]
        if size == 0:
            return
        total = self.count + size
        delta = batch.mean(dim=0) - self.running_mean
        pooled = self.count * self.running_var + size * batch.var(dim=0, correction=0)
        pooled += delta.square() * (self.count * size / total)
        self.running_mean += delta * (size / total)
        self.running_var.copy_(pooled / total)
        self.count.copy_(total)

    def forward(self, observations: Tensor) -> Tensor:
        """Normalized observations, float32. Shape: (..., size). A NaN becomes 0, the mean.

        Fewer numbers are the first of those that it knows.
        """
        size = observations.shape[-1]
        mean = self.running_mean[:size].float()
        scale = torch.rsqrt(self.running_var[:size].float() + EPSILON)
        normal = ((observations.float() - mean) * scale).clamp(-CLIP, CLIP)
        return torch.nan_to_num(normal, nan=0.0)


class CheckedExtractor(FlattenExtractor):
    """Flatten the observation; where a policy acts, UserError for what is not finite."""

    def forward(self, observations: Tensor) -> Tensor:
        """Features. Shape: (m, ...) -> (m, size)."""
        features: Tensor = super().forward(observations)
        return features if self.training else finite(features)


class NormalizedExtractor(BaseFeaturesExtractor):
    """Flatten the observation and normalize it; the first layer of every policy here.

    Where a policy acts, raises UserError for an observation that is not finite.
    """

    def __init__(self, observation_space: spaces.Space) -> None:  # type: ignore[type-arg]
        size = get_flattened_obs_dim(observation_space)
        super().__init__(observation_space, size)
        self.normalizer = RunningNormalizer(size)

    def forward(self, observations: Tensor) -> Tensor:
        """Features. Shape: (m, ...) -> (m, size)."""
        flat = observations.flatten(start_dim=1)
        features: Tensor = self.normalizer(flat if self.training else finite(flat))
        return features


def finite(observations: Tensor) -> Tensor:
    """The observations (m, size); UserError for the first number that is not finite.

    An exported network has no such check: its normalizer takes NaN for the mean.
    """
    if torch.compiler.is_compiling() or bool(torch.isfinite(observations).all()):
        return observations
    row, column = (~torch.isfinite(observations)).nonzero()[0].tolist()
    value = float(observations[row, column])
    raise UserError(f"observation[{row}, {column}] is {value}; a policy acts on finite numbers")


def normalizers(policy: nn.Module) -> list[RunningNormalizer]:
    """Every normalizer in `policy` once: of the actor, the critic and the target networks."""
    return [module for module in policy.modules() if isinstance(module, RunningNormalizer)]


def update_normalizers(policy: nn.Module, observations: Tensor) -> None:
    """Add a batch of observations to every normalizer in `policy`. Shape: (m, size).

    Each sees its own columns.
    """
    for normalizer in normalizers(policy):
        normalizer.update(observations[:, normalizer.columns])
