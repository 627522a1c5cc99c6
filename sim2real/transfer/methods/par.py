"""PAR: learn in the source from rewards that fall where a representation of the target mispredicts.

    r'(s, a, s') = r(s, a, s') - weight * D,    D = mean_i (g(f(s), a) - f(s'))_i^2
    f, g  minimize  E_target mean_i (g(f(s), a) - stopped(f(s')))_i^2

for the samples of the source (Lyu et al. 2024, "Cross-domain policy adaptation by capturing
representation mismatch", arXiv:2405.15369). f encodes a state, g predicts the encoding of the next
one; both learn from the target alone. Encodings have a mean absolute value of 1 (Fujimoto et al.
2023, arXiv:2306.02451), so that they cannot shrink to zero. No density is estimated, and a reward
is only ever lowered.

Here f and g learn in each update after a rollout, from observations normalized by running
statistics; the paper averages them over time for the penalty, and this does not.

It assumes what DARC assumes, and dynamics that the target's few steps let f and g learn: what they
have not learned yet is penalized, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import create_mlp
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor, nn

from sim2real.policies.layers import Layers, Width
from sim2real.policies.normalizer import RunningNormalizer
from sim2real.policies.recipe import NotNegative, Positive
from sim2real.transfer.budget import Budget
from sim2real.transfer.mixed import MixedMethod
from sim2real.transfer.mixing import LearnedSampler, Samples, SourceSampler

SMALLEST = 1e-8
"""The least mean absolute value by which an encoding is divided."""


class Representation(nn.Module):
    """Encodes states, and predicts the encoding of the next one."""

    def __init__(
        self, observation_size: int, action_size: int, encoding: int, layers: Sequence[int]
    ) -> None:
        super().__init__()
        self.normalizer = RunningNormalizer(observation_size)
        hidden = list(layers)
        self.encoder = nn.Sequential(*create_mlp(observation_size, encoding, hidden, nn.ELU))
        self.predictor = nn.Sequential(
            *create_mlp(encoding + action_size, encoding, hidden, nn.ELU)
        )

    def encode(self, observations: Tensor) -> Tensor:
        """The encodings, with a mean absolute value of 1. Shape: (m, n) -> (m, encoding)."""
        return scaled_to_one(self.encoder(self.normalizer(observations)))

    def deviation(self, samples: ReplayBufferSamples) -> Tensor:
        """D of each sample, with a gradient through its prediction only. Shape: (m,)."""
        known = torch.cat([self.encode(samples.observations), samples.actions], dim=1)
        with torch.no_grad():
            after = self.encode(samples.next_observations)
        deviation: Tensor = (self.predictor(known) - after).square().mean(dim=1)
        return deviation


def scaled_to_one(encoding: Tensor) -> Tensor:
    """Divided by the mean absolute value. Shape: (m, k).

    >>> scaled_to_one(torch.tensor([[1.0, -3.0]]))
    tensor([[ 0.5000, -1.5000]])
    """
    return encoding / encoding.abs().mean(dim=1, keepdim=True).clamp(min=SMALLEST)


class PenalizedRewards(LearnedSampler):
    """Samples of the source with penalized rewards."""

    def __init__(
        self,
        representation: Representation,
        learning_rate: float,
        algorithm: OffPolicyAlgorithm,
        weight: float,
    ) -> None:
        super().__init__(representation, learning_rate)
        self._representation, self._algorithm, self._weight = representation, algorithm, weight

    def loss(self, source: ReplayBufferSamples, target: ReplayBufferSamples) -> Tensor:
        """The mean deviation in the target; the normalizer takes its observations in."""
        self._representation.normalizer.update(target.observations)
        return self._representation.deviation(target).mean()

    def sample(self, source: Samples, size: int) -> ReplayBufferSamples:
        """Samples with r - weight * D for r."""
        samples = source.sample(size)
        with torch.no_grad():
            penalty = self._weight * self._representation.deviation(samples).unsqueeze(1)
        self._algorithm.logger.record("train/reward_correction", -float(penalty.mean()))
        return samples._replace(rewards=samples.rewards - penalty)


class Par(MixedMethod):
    """Learn from the source with rewards penalized by the mismatch of representations."""

    name: ClassVar[str] = "par"

    weight: NotNegative = 0.1
    """Times the deviation, subtracted from the rewards as scaled by `reward_scale`."""
    encoding: Width = 64
    """Numbers of the representation."""
    encoder_layers: Layers = (64, 64)
    """Hidden layers of encoder and predictor."""
    encoder_learning_rate: Positive = 3e-4
    """Learning rate of encoder and predictor."""

    def sampler(self, algorithm: OffPolicyAlgorithm, budget: Budget) -> SourceSampler:
        """Samples with penalized rewards."""
        observation = get_flattened_obs_dim(algorithm.observation_space)
        action = get_flattened_obs_dim(algorithm.action_space)
        made = Representation(observation, action, self.encoding, self.encoder_layers)
        return PenalizedRewards(made, self.encoder_learning_rate, algorithm, self.weight)
