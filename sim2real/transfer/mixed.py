"""Learn from two domains at once: free steps of the source beside metered steps of the target.

    each control step of the target:  `source_ratio` control steps of the source, by the same policy
    after each rollout:               the sampler learns to tell the domains apart, where it does so
    each update of SAC or TD3:        a minibatch with the part `target_share` from the target

What a method does with the samples of the source is its `SourceSampler`: it takes them as they are,
selects some, or corrects their rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.config import LAST_SEED, Count
from sim2real.errors import UserError
from sim2real.identification.log import Log
from sim2real.policies.build import with_reward_of
from sim2real.policies.recipe import AnyRecipe, Fraction, PPORecipe
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.methods.fine_tune import FineTune
from sim2real.transfer.mixing import Mixes, Mixing, SourceSampler
from sim2real.transfer.offline import OfflineMixing, commands_of, transitions_of
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work


class MixedMethod(FineTune):
    """Fine-tune in the target with samples of the source in each minibatch."""

    algorithms: ClassVar[tuple[str, ...]] = ("sac", "td3")
    fits_other_tasks: ClassVar[bool] = False  # it learns in the worlds of both at once

    source_ratio: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Control steps of the source for each of the target; they are free and counted."""
    prefill: Annotated[int, Field(ge=0)] = 10_000
    """Control steps of the source before the first of the target."""
    target_share: Fraction = 0.5
    """Part of each minibatch that is from the target."""
    offline: bool = False
    """Whether the target is recorded, or a log of it given, and learned from afterwards in the
    source alone."""
    target_log: str | None = None
    """offline: a log of the target, with rewards; None: the source's policy records the budget."""
    record_noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """offline: standard deviation of noise on the recorded actions, in halves of their range."""
    simulated_steps: Count = 100_000
    """offline: control steps of the source."""

    @model_validator(mode="after")
    def _learns_offline_from_a_log(self) -> MixedMethod:
        if self.target_log is not None and not self.offline:
            raise ValueError("target_log is what to learn from offline; set offline=true")
        return self

    def simulated(self, algorithm: str) -> int:
        """The steps of the source, where the target is not stepped."""
        return self.simulated_steps if self.offline else 0

    @field_validator("source_worlds")
    @classmethod
    def _has_its_own(cls, worlds: int) -> int:
        if worlds:
            raise ValueError(f"{cls.name} has source_ratio for that; allowed: 0")
        return worlds

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """That of fine-tuning; UserError for privileged columns and values of several steps."""
        recipe = super().target_recipe(source, budget)
        assert not isinstance(recipe, PPORecipe)  # see `algorithms`
        if recipe.n_step > 1:
            raise UserError(
                f"method {self.name!r} learns from single steps, and n_step is {recipe.n_step}; "
                "allowed: recipe={n_step: 1}"
            )
        if recipe.needs_privileged:
            raise UserError(
                f"method {self.name!r}: privileged columns tell the source from the target; "
                "allowed: privileged=false, privileged_actor=false"
            )
        return recipe

    def sampler(self, algorithm: OffPolicyAlgorithm, budget: Budget) -> SourceSampler:
        """How the samples of the source are drawn."""
        return SourceSampler()

    def penalties(self, mixing: Mixes) -> Sequence[BaseCallback]:
        """Callbacks that add to the loss of the critics; none."""
        return ()

    def learned(self, source: Run, target: Target, work: Work, budget: Budget) -> BasePolicy:
        """Train in the target and in the source; the checkpoints are the run's."""
        if target.is_target(source.domain):
            raise UserError(
                f"method {self.name!r} learns from two domains, and the source's is the target's; "
                "allowed: a target that differs, or method 'fine_tune'"
            )
        if self.offline:
            return self._learned_offline(source, target, work, budget)
        env = target.env(work.recipe.num_envs)
        beside = work.env(source.domain, self.source_ratio * work.recipe.num_envs)
        prepared = self.prepare(source, work.recipe, env, budget, work.seed)
        mixing = self.mix(prepared.algorithm, beside, work.recipe, budget)
        callbacks = (*prepared.callbacks, mixing, *self.penalties(mixing))
        return work.learn(prepared.algorithm, prepared.rows, callbacks, budget)

    def _learned_offline(
        self, source: Run, target: Target, work: Work, budget: Budget
    ) -> BasePolicy:
        """Train in the source and from recorded transitions of the target."""
        given = None if self.target_log is None else Log.load(self.target_log)
        env = work.env(source.domain, work.recipe.num_envs)
        whole = Budget(self.simulated_steps)
        steps = whole.usable(env.num_envs)
        prepared = self.prepare(source, work.recipe, env, whole, work.seed)
        algorithm = prepared.algorithm
        assert isinstance(algorithm, OffPolicyAlgorithm)
        commands = work.once("commands", lambda: commands_of(work.env(source.domain)))

        def record() -> Log:
            seed = int(work.generator.integers(LAST_SEED))
            noise = self.record_noise
            return target.record(source.policy, budget.steps, noise=noise, seed=seed)

        log = given or work.once("record", record)
        transitions = transitions_of(log, target.contract.observations, commands)
        sampler = self.sampler(algorithm, whole)
        mixing = OfflineMixing(algorithm, transitions, sampler, self.target_share)
        learner = work.prepared_learner("train", algorithm, prepared.rows)
        callbacks = (*prepared.callbacks, mixing, *self.penalties(mixing))
        return learner.learn(steps, callbacks)

    def mix(
        self, algorithm: BaseAlgorithm, env: VecEnv, recipe: AnyRecipe, budget: Budget
    ) -> Mixing:
        """Let the algorithm learn from `env`, worlds of the source, as well."""
        assert isinstance(algorithm, OffPolicyAlgorithm)
        return Mixing(
            algorithm,
            with_reward_of(recipe, env),
            self.sampler(algorithm, budget),
            target_share=self.target_share,
            prefill=self.prefill,
        )
