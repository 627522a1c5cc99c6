"""DARC: learn in the source from rewards that make up for what differs in the target.

    r'(s, a, s') = r(s, a, s') + alpha d,    d = log p_target(s'|s, a) - log p_source(s'|s, a)

for the samples of the source (Eysenbach et al. 2021, "Off-dynamics reinforcement learning: training
for transfer with domain classifiers", arXiv:2006.13916). d is the difference of the logits of two
classifiers (`transfer.classifiers`); where the target cannot do what the source can, it is
negative. The expected sum of d is minus the divergence of the trajectories, so maximum entropy
learning from r' looks for trajectories that are both good and possible in the target. alpha is the
entropy coefficient of SAC: the paper's is 1, and d adds to what the entropy adds to. `weight`
is another factor of d.

The paper learns from the source alone (`target_share: 0`) and uses the target for the classifiers
only; here half of each minibatch is from the target, with its rewards as they are. Rewards are
corrected after the first part of the budget (`correct_after`), when the classifiers have seen some
of the target, and by `most` at most.

It assumes, beside what fine-tuning assumes, that a policy that is good in the target is also good
in the source, by the same trajectories. Where the source cannot do what the target needs, no
correction of rewards shows it.
"""

from __future__ import annotations

from typing import ClassVar

from stable_baselines3 import SAC
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sim2real.policies.recipe import AnyRecipe, Fraction, NotNegative, Positive
from sim2real.transfer.budget import Budget
from sim2real.transfer.classifiers import ClassifierOptions, ClassifierSampler, DomainClassifiers
from sim2real.transfer.mixed import MixedMethod
from sim2real.transfer.mixing import Samples, SourceSampler


class CorrectedRewards(ClassifierSampler):
    """Samples of the source with corrected rewards, after so many steps of the target."""

    def __init__(
        self,
        classifiers: DomainClassifiers,
        learning_rate: float,
        *,
        algorithm: OffPolicyAlgorithm,
        weight: float | None,
        most: float,
        after: float,
    ) -> None:
        super().__init__(classifiers, learning_rate)
        self._algorithm = algorithm
        self._weight, self._most, self._after = weight, most, after

    def sample(self, source: Samples, size: int) -> ReplayBufferSamples:
        """Samples with corrected rewards."""
        samples = source.sample(size)
        if self._algorithm.num_timesteps < self._after:
            return samples
        ratio = self.classifiers.log_ratio(samples).clamp(-self._most, self._most)
        weight = entropy_coefficient(self._algorithm) if self._weight is None else self._weight
        correction = weight * ratio.unsqueeze(1)
        self._algorithm.logger.record("train/reward_correction", float(correction.mean()))
        return samples._replace(rewards=samples.rewards + correction)


def entropy_coefficient(algorithm: OffPolicyAlgorithm) -> float:
    """That of SAC at present, learned or not."""
    assert isinstance(algorithm, SAC)
    if algorithm.log_ent_coef is None:
        return float(algorithm.ent_coef_tensor)
    return float(algorithm.log_ent_coef.detach().exp())


class Darc(ClassifierOptions, MixedMethod):
    """Learn from the source with rewards corrected by domain classifiers."""

    name: ClassVar[str] = "darc"
    algorithms: ClassVar[tuple[str, ...]] = ("sac",)

    weight: NotNegative | None = None
    """Times the log ratio, added to the rewards as scaled by `reward_scale`; None: SAC's entropy
    coefficient."""
    correct_after: Fraction = 0.1
    """Part of the budget after which rewards are corrected."""
    most: Positive = 10.0
    """The log ratio is clipped to +- this."""

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """What fine-tuning plans, and the control steps without a correction."""
        return super().scheduled(source, budget), self.correct_after * budget.steps

    def sampler(self, algorithm: OffPolicyAlgorithm, budget: Budget) -> SourceSampler:
        """Samples with corrected rewards."""
        return CorrectedRewards(
            self.classifiers_for(algorithm),
            self.classifier_learning_rate,
            algorithm=algorithm,
            weight=self.weight,
            most=self.most,
            after=self.correct_after * budget.steps,
        )
