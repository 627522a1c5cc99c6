"""Fine-tuning: go on learning in the target from the source's weights.

    theta_0 = theta_source,    theta_{k+1} = A(theta_k, D_k; factor * learning rate)

with A the update of the source's algorithm and D_k the k-th rollout in the target (Yosinski et
al. 2014, "How transferable are features in deep neural networks?", arXiv:1411.1792; for control,
Julian et al. 2020, "Never stop learning", arXiv:2004.10190). Observation statistics go along with
the weights: a policy whose inputs are scaled differently is another policy.

During the first part of the budget (`warm_up`) the critic learns alone. The source's critic
predicts the returns of another world; an actor that follows it at once unlearns what it knew.
PPO starts with less exploration noise than a policy trained from scratch needs (`log_std`).
Optimizers start afresh: the source's momentum points to the source's optimum. SAC and TD3 begin
with an empty replay buffer and collect with the policy itself, not with random actions.

A privileged critic of the source keeps the policy's columns; the others count as their means in
the source. In a simulated target whose values may be known, `recipe: {privileged: true}` gives it
all columns, matched by name.

With `verification` a part of the budget is kept for whole episodes of the source's policy and of
the new one, and the better of them is the run's (see `sim2real.transfer.selection`).

With `guide` the source's policy acts in the first control steps of each episode, in fewer and fewer
of them (see `sim2real.transfer.guide`).

With `source_worlds` so many worlds of the source are stepped beside those of the target, and the
policy learns from both, so that it keeps what it could do there. Their steps are free.

It assumes that the target has the source's observation and action spaces, or another task's that
are matched by name (`match`), and a reward, and that the source's behaviour is good enough to
collect with.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sim2real.config import MOST_WORLDS
from sim2real.errors import UserError
from sim2real.files import write_json
from sim2real.policies.anatomy import Part, anatomy, named_tensors
from sim2real.policies.build import build_algorithm
from sim2real.policies.modifiers import add_structure_of
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.anchor import Anchor, Anchored, Of
from sim2real.transfer.augmentation import Augmented
from sim2real.transfer.budget import Budget
from sim2real.transfer.columns import copy_entropy_coefficient, take_along
from sim2real.transfer.fitting import ADAPTED
from sim2real.transfer.guide import Guided
from sim2real.transfer.manifest import Action
from sim2real.transfer.method import NETWORKS, LearnerMethod, Prepared, learn_beside, rows_of
from sim2real.transfer.schedule import CriticWarmUp
from sim2real.transfer.selection import REPORT, SOURCE, select
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work


class FineTune(Anchored, Guided, Augmented, LearnerMethod):
    """Fine-tune all tensors in the target."""

    name: ClassVar[str] = "fine_tune"

    learning_rate_factor: Annotated[float, Field(gt=0.0, le=10.0)] = 0.7
    """Times the source recipe's learning rate."""
    warm_up: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Part of the budget during which the critic learns alone."""
    critic: Literal["copied", "fresh"] = "copied"
    """Whether the critic starts from the source's or anew."""
    log_std: float | None = -1.0
    """PPO: explore with at most this log standard deviation at the start; None: the source's."""
    least_log_std: float | None = None
    """PPO: explore with at least this, for a target that costs nothing; None: the source's."""
    anchor_of: Of = "actions"
    """What is pulled: the distribution of actions, or the weights."""
    seen: Annotated[int, Field(ge=0)] | None = None
    """Observations that the source's statistics count as, at most; None: as many as they are."""
    source_worlds: Annotated[int, Field(ge=0, le=MOST_WORLDS)] = 0
    """Worlds of the source stepped beside those of the target; they are free and counted."""
    verification: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Part of the budget kept to compare the policy with the source's; the better one is kept."""

    @model_validator(mode="after")
    def _has_a_teacher_of_actions(self) -> FineTune:
        if self.anchor_to is not None and self.anchor_of == "weights":
            raise ValueError("anchor_to: a teacher gives actions; allowed: anchor_of actions")
        return self

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The source's recipe with a smaller learning rate and rollouts for a target."""
        rate = source.learning_rate * self.learning_rate_factor
        changes: dict[str, Any] = {"learning_rate": rate}
        if source.algorithm != "ppo":
            changes["learning_starts"] = 0  # the source's policy is better than random actions
        return self.resized(source, **changes)

    def kept_options(self) -> tuple[str, ...]:
        """Those of the networks; of the actor's alone where the critic is fresh."""
        fresh = self.critic == "fresh"
        return tuple(one for one in NETWORKS if not (fresh and one.startswith("critic")))

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """The control steps of the critic's warm-up, of the anchor and of the guide."""
        falls = (self.anchor or self.guide) and budget.steps
        return self.warm_up * budget.steps, falls

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """Train the learner; with `verification` the better of its policy and the source's."""
        if not self.verification:
            return super().adapt(source, target, work)
        kept = max(int(self.verification * target.budget.steps), 1)
        budget = Budget(target.budget.steps - kept)
        budget.usable(work.recipe.num_envs)
        learned = self.learned(source, target, work, budget)
        untouched = work.learner("source", work.recipe, target.env(), source.policy)
        policies = {SOURCE: untouched.algorithm.policy, self.name: learned}
        found = work.once("verify", lambda: select(policies, target).plain())
        write_json(work.path / REPORT, found)
        return policies[found["chosen"]]

    def learned(self, source: Run, target: Target, work: Work, budget: Budget) -> BasePolicy:
        """The policy that the learner ends with; with `source_worlds` it learns from both."""
        if not self.source_worlds:
            return super().learned(source, target, work, budget)
        if self.match is not None:
            raise UserError(
                "source_worlds: the source is of another task, whose worlds show other "
                "observations; allowed: 0"
            )
        beside = work.env(source.domain, self.source_worlds)

        def prepare(env: VecEnv, whole: Budget) -> Prepared:
            return self.prepare(source, work.recipe, env, whole, work.seed)

        return learn_beside(target, work, budget, [beside], prepare)

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The source's policy with fresh optimizers, its critic to be warmed up."""
        algorithm = build_algorithm(recipe, env, seed)
        action_of = self._take_along(source, algorithm)
        callbacks: tuple[BaseCallback, ...] = (CriticWarmUp(self.warm_up * budget.steps),)
        if self.anchor:
            given = self.anchor, self.anchor_of, budget.steps
            teacher = self.teacher(source, recipe.history, env)
            callbacks = (*callbacks, Anchor(algorithm.policy, *given, teacher))
        callbacks = (*callbacks, *self.guides(source, algorithm, env, budget.steps))
        callbacks = (*callbacks, *self.augments(algorithm))
        return Prepared(algorithm, rows_of(algorithm, action_of), callbacks)

    def _take_along(self, source: Run, algorithm: BaseAlgorithm) -> dict[str, Action]:
        """Copy what is to be copied; return the action for each tensor that is not fresh."""
        policy = algorithm.policy
        add_structure_of(source.policy, policy)
        names = [name for name, part in anatomy(policy).items() if not self._is_fresh(part)]
        action_of = take_along(source.policy, policy, names)
        fitted = set(names).intersection(source.checkpoint.state.get(ADAPTED, ()))
        action_of |= dict.fromkeys(fitted, "adapted")
        if copy_entropy_coefficient(source.checkpoint.training.get("log_ent_coef"), algorithm):
            action_of["log_ent_coef"] = "copied"
        tensors = named_tensors(policy)
        most = math.inf if self.seen is None else self.seen
        for name in names:
            if name.endswith("normalizer.count") and (tensors[name] > most).any():
                tensors[name].clamp_(max=most)
                action_of[name] = "adapted"
        if "log_std" in action_of and self._bound_noise(tensors["log_std"]):
            action_of["log_std"] = "adapted"
        return action_of

    def _is_fresh(self, part: Part) -> bool:
        is_weight = part.role == "critic" and part.place != "statistics"
        return is_weight and self.critic == "fresh"

    def _bound_noise(self, log_std: Tensor) -> bool:
        """Clip PPO's exploration noise in place; whether that changed it."""
        if self.log_std is None and self.least_log_std is None:
            return False
        clipped = log_std.detach().clamp(self.least_log_std, self.log_std)
        changed = not torch.equal(clipped, log_std)
        with torch.no_grad():
            log_std.copy_(clipped)
        return changed
