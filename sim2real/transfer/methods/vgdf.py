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

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from sim2real.policies.layers import Layers
from sim2real.policies.recipe import AnyRecipe, Fraction, Positive
from sim2real.transfer.budget import Budget
from sim2real.transfer.mixed import MixedMethod
from sim2real.transfer.mixing import LearnedSampler, Samples, SourceSampler
from sim2real.transfer.transition_models import TransitionModels

SMALLEST = 1e-6
"""Added to the variance of values."""


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
        models: TransitionModels,
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
            TransitionModels(observation, action, self.members, self.model_layers),
            self.model_learning_rate,
            algorithm=algorithm,
            candidates=self.candidates,
            after=self.select_after * budget.steps,
        )
