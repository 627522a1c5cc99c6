"""VGDF: learn from those transitions of the source that the target would value alike.

    V_i = V(s'_i),  s'_i ~ T_i(s' | s, a),  V(s) = min_j Q_j(s, pi(s))
    F(s, a, s') = N(V(s'); mean_i V_i, var_i V_i)

for the samples of the source, with T_i an ensemble of Gaussian models of the target (Xu et al.
2023, "Cross-domain policy adaptation via value-guided data filtering", arXiv:2305.17625). Of
`candidates` times as many samples those of the largest F are learned from, with their rewards as
they are: dynamics may differ where the value does not.

The paper also collects in the source with a policy of its own, which explores optimistically; here
the learner's policy collects. Samples are selected after the first part of the budget
(`select_after`), when the models have seen some of the target.

It assumes, beside what fine-tuning assumes, that the models learn the target's dynamics from few
steps and that the critic is about right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import create_mlp
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor, nn

from sim2real.policies.layers import Layers
from sim2real.policies.normalizer import RunningNormalizer
from sim2real.policies.recipe import AnyRecipe, Fraction, Positive
from sim2real.transfer.budget import Budget
from sim2real.transfer.mixed import MixedMethod
from sim2real.transfer.mixing import LearnedSampler, Samples, SourceSampler

LOG_STD = (-5.0, 1.0)
"""Range of the log standard deviations of changes, which are normalized to about 1."""
SMALLEST = 1e-6
"""Added to the variance of values."""


class TargetModels(nn.Module):
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

    def loss(self, samples: ReplayBufferSamples) -> Tensor:
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

    @torch.no_grad()
    def draw(self, samples: ReplayBufferSamples) -> Tensor:
        """A next observation of each sample by each member. Shape: (members, m, n)."""
        seen = self.inputs(_known(samples))
        spread, center = self.changes.running_var.sqrt().float(), self.changes.running_mean.float()
        drawn = []
        for member in self.members:
            mean, log_std = _gaussian(member(seen))
            change = mean + log_std.exp() * torch.randn_like(mean)
            drawn.append(samples.observations.float() + center + spread * change)
        return torch.stack(drawn)


def _known(samples: ReplayBufferSamples) -> Tensor:
    return torch.cat([samples.observations, samples.actions], dim=1)


def _gaussian(output: Tensor) -> tuple[Tensor, Tensor]:
    mean, log_std = output.chunk(2, dim=1)
    return mean, log_std.clamp(*LOG_STD)


@torch.no_grad()
def values(algorithm: OffPolicyAlgorithm, observations: Tensor) -> Tensor:
    """The smallest target Q of the policy's mean action. Shape: (m, n) -> (m,)."""
    acting: Any = algorithm
    actions = acting.policy._predict(observations, deterministic=True)
    return torch.cat(acting.critic_target(observations, actions), dim=1).amin(dim=1)


def proximity(value: Tensor, fictitious: Tensor) -> Tensor:
    """log N(value; mean, variance of `fictitious`), without its constant.

    Shape: (m,) and (members, m) -> (m,).
    """
    variance = fictitious.var(dim=0) + SMALLEST
    return -0.5 * ((value - fictitious.mean(dim=0)).square() / variance + variance.log())


class SelectedSamples(LearnedSampler):
    """Samples of the source that the target would value alike, after so many of its steps."""

    def __init__(
        self,
        models: TargetModels,
        learning_rate: float,
        *,
        algorithm: OffPolicyAlgorithm,
        candidates: int,
        after: float,
    ) -> None:
        super().__init__(models, learning_rate)
        self._models, self._algorithm = models, algorithm
        self._candidates, self._after = candidates, after

    def loss(self, source: ReplayBufferSamples, target: ReplayBufferSamples) -> Tensor:
        """That of the models, of the target alone."""
        return self._models.loss(target)

    def sample(self, source: Samples, size: int) -> ReplayBufferSamples:
        """The best of `candidates` times as many."""
        if self._algorithm.num_timesteps < self._after:
            return source.sample(size)
        drawn = source.sample(self._candidates * size)
        reached = values(self._algorithm, drawn.next_observations)
        expected = self._models.draw(drawn)
        fictitious = values(self._algorithm, expected.flatten(0, 1)).view(len(expected), -1)
        best = proximity(reached, fictitious).topk(size).indices
        return ReplayBufferSamples(*(column[best] for column in drawn[:5]))


class Vgdf(MixedMethod):
    """Learn from the source's transitions that lead to about the target's values."""

    name: ClassVar[str] = "vgdf"

    candidates: Annotated[int, Field(ge=2, le=100)] = 4
    """Samples of the source of which one is learned from: 4 are the paper's best quarter."""
    select_after: Fraction = 0.1
    """Part of the budget after which samples are selected."""
    members: Annotated[int, Field(ge=2, le=100)] = 5
    """Models of the target."""
    model_layers: Layers = (64, 64)
    """Hidden layers of each model."""
    model_learning_rate: Positive = 1e-3
    """Learning rate of the models."""

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """What fine-tuning plans, and the control steps without a selection."""
        return super().scheduled(source, budget), self.select_after * budget.steps

    def sampler(self, algorithm: OffPolicyAlgorithm, budget: Budget) -> SourceSampler:
        """Selected samples."""
        observation = get_flattened_obs_dim(algorithm.observation_space)
        action = get_flattened_obs_dim(algorithm.action_space)
        return SelectedSamples(
            TargetModels(observation, action, self.members, self.model_layers),
            self.model_learning_rate,
            algorithm=algorithm,
            candidates=self.candidates,
            after=self.select_after * budget.steps,
        )
