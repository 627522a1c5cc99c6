"""Two classifiers that tell the target from the source, and the ratio of dynamics in them.

    log p(target | s, a, s') - log p(source | s, a, s') = q(s, a, s'),   as for q(s, a)
    log p_target(s' | s, a) - log p_source(s' | s, a) = q(s, a, s') - q(s, a)

by Bayes' rule, where as many samples of each domain are learned from (Eysenbach et al. 2021,
arXiv:2006.13916). q are logits: each network gives one number, the loss is the binary
cross-entropy of it, and no softmax is involved.

The networks see s, a and s' - s, which tells as much as s' and shows a small change of a large
number. Noise on their normalized inputs keeps them from overfitting to few samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import create_mlp
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from sim2real.config import Config
from sim2real.policies.layers import Layers
from sim2real.policies.normalizer import RunningNormalizer
from sim2real.policies.recipe import NotNegative, Positive
from sim2real.transfer.mixing import LearnedSampler


class DomainClassifiers(nn.Module):
    """The logits of (s, a, s') and of (s, a) for the target."""

    def __init__(
        self, observation_size: int, action_size: int, layers: Sequence[int], noise: float
    ) -> None:
        super().__init__()
        self._known = observation_size + action_size
        size = self._known + observation_size
        self.normalizer = RunningNormalizer(size)
        self.of_step = nn.Sequential(*create_mlp(size, 1, list(layers)))
        self.of_action = nn.Sequential(*create_mlp(self._known, 1, list(layers)))
        self._noise = noise

    def loss(self, source: ReplayBufferSamples, target: ReplayBufferSamples) -> Tensor:
        """The cross-entropies of both classifiers; their normalizer takes the samples in."""
        inputs = torch.cat([step_of(source), step_of(target)])
        self.normalizer.update(inputs)
        seen = self.normalizer(inputs)
        seen = seen + self._noise * torch.randn_like(seen)
        is_target = torch.zeros(len(inputs))
        is_target[len(source.rewards) :] = 1.0
        return sum(  # type: ignore[return-value]
            binary_cross_entropy_with_logits(logits, is_target) for logits in self._logits(seen)
        )

    @torch.no_grad()
    def log_ratio(self, samples: ReplayBufferSamples) -> Tensor:
        """log p_target(s' | s, a) - log p_source(s' | s, a). Shape: (m,)."""
        of_step, of_action = self._logits(self.normalizer(step_of(samples)))
        return of_step - of_action

    def _logits(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        known = seen[:, : self._known]
        return self.of_step(seen).squeeze(1), self.of_action(known).squeeze(1)


class ClassifierSampler(LearnedSampler):
    """A sampler that knows the ratio of dynamics."""

    def __init__(self, classifiers: DomainClassifiers, learning_rate: float) -> None:
        super().__init__(classifiers, learning_rate)
        self.classifiers = classifiers

    def loss(self, source: ReplayBufferSamples, target: ReplayBufferSamples) -> Tensor:
        """That of the classifiers."""
        return self.classifiers.loss(source, target)


class ClassifierOptions(Config):
    """The options of a method that has classifiers."""

    noise: NotNegative = 0.1
    """Standard deviation of what is added to the classifiers' normalized inputs."""
    classifier_layers: Layers = (64, 64)
    """Hidden layers of the classifiers."""
    classifier_learning_rate: Positive = 1e-3
    """Learning rate of the classifiers."""

    def classifiers_for(self, algorithm: OffPolicyAlgorithm) -> DomainClassifiers:
        """Fresh classifiers for the spaces of an algorithm."""
        observation = get_flattened_obs_dim(algorithm.observation_space)
        action = get_flattened_obs_dim(algorithm.action_space)
        return DomainClassifiers(observation, action, self.classifier_layers, self.noise)


def step_of(samples: ReplayBufferSamples) -> Tensor:
    """(s, a, s' - s) of each sample. Shape: (m, 2 n + k)."""
    change = samples.next_observations - samples.observations
    return torch.cat([samples.observations, samples.actions, change], dim=1)
