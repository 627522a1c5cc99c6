"""Mixed replay: each minibatch is half from the target, half from the source.

    L(theta) = 1/2 E_target l(theta; s, a, r, s') + 1/2 E_source w l(theta; s, a, r, s'),    w = 1

with l the losses of SAC or TD3: symmetric sampling (Ball et al. 2023, "Efficient online
reinforcement learning with offline data", RLPD, arXiv:2302.02948, section 4.1), where the data of
the source are new steps of its simulation. RLPD's critics are `critic: fresh` with the recipe
`{critics: 10, critic_subset: 2, critic_norm: layer}` (SAC), its many updates for each step
`gradient_steps`.

With `importance` the samples of the source are weighted by how likely the target is to make them,

    w = min(exp(d), most),    d = log p_target(s'|s, a) - log p_source(s'|s, a)

with d from two classifiers (see `transfer.classifiers`). The weights act by resampling: of
`candidates` times as many samples those that are learned from are drawn with probabilities
proportional to w (Rubin 1988, sampling importance resampling).

With `penalty` the critics learn lower values where the source moves otherwise than the target
(`transfer.value_penalty`): with importance weights this is H2O.

It assumes, beside what fine-tuning assumes, that a policy for the source is of use in the target:
without weights it learns the best policy for a mixture of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field, model_validator
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from sim2real.policies.recipe import NotNegative
from sim2real.transfer.budget import Budget
from sim2real.transfer.classifiers import ClassifierOptions, ClassifierSampler, DomainClassifiers
from sim2real.transfer.mixed import MixedMethod
from sim2real.transfer.mixing import Mixes, Samples, SourceSampler
from sim2real.transfer.value_penalty import ValuePenalty


class ImportanceSampler(ClassifierSampler):
    """Samples of the source, drawn in proportion to their weights."""

    def __init__(
        self, classifiers: DomainClassifiers, learning_rate: float, *, candidates: int, most: float
    ) -> None:
        super().__init__(classifiers, learning_rate)
        self._candidates, self._most = candidates, most

    def sample(self, source: Samples, size: int) -> ReplayBufferSamples:
        """So many of `candidates` times as many."""
        drawn = source.sample(self._candidates * size)
        weights = importance(self.classifiers.log_ratio(drawn), self._most)
        chosen = torch.multinomial(weights, size, replacement=True)
        return ReplayBufferSamples(*(column[chosen] for column in drawn[:5]))


def importance(log_ratio: Tensor, most: float) -> Tensor:
    """The weights min(exp(log_ratio), most). Shape: (m,).

    >>> importance(torch.tensor([0.0, 5.0]), 10.0)
    tensor([ 1., 10.])
    """
    return log_ratio.clamp(max=math.log(most)).exp()


class MixedReplayMethod(ClassifierOptions, MixedMethod):
    """Learn from minibatches that are half from the target, half from the source."""

    name: ClassVar[str] = "mixed_replay"

    importance: bool = False
    """Whether samples of the source are weighted by how likely the target is to make them."""
    candidates: Annotated[int, Field(ge=2, le=100)] = 4
    """Samples of the source among which each one that is learned from is drawn."""
    most: Annotated[float, Field(ge=1.0)] = 10.0
    """The largest weight."""
    penalty: NotNegative = 0.0
    """Weight of H2O's penalty of values in the loss of the critics."""

    @model_validator(mode="after")
    def _penalizes_one_domain_against_the_other(self) -> MixedReplayMethod:
        if self.penalty and not 0.0 < self.target_share < 1.0:
            raise ValueError("a penalty compares two domains; allowed: target_share within 0 to 1")
        return self

    def sampler(self, algorithm: OffPolicyAlgorithm, budget: Budget) -> SourceSampler:
        """With importance weights or without."""
        rate = self.classifier_learning_rate
        if self.importance:
            classifiers = self.classifiers_for(algorithm)
            return ImportanceSampler(classifiers, rate, candidates=self.candidates, most=self.most)
        if self.penalty:
            return ClassifierSampler(self.classifiers_for(algorithm), rate)
        return SourceSampler()

    def penalties(self, mixing: Mixes) -> Sequence[BaseCallback]:
        """That of values, if it has a weight."""
        if not self.penalty:
            return ()
        sampler = mixing.replay.sampler
        assert isinstance(sampler, ClassifierSampler)
        return [ValuePenalty(mixing.replay, sampler.classifiers, self.penalty)]
