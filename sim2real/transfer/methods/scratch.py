"""From scratch: learn in the target alone, taking nothing along.

    theta_0 ~ init,    theta_{k+1} = A(theta_k, D_k),    |D_1| + ... + |D_K| <= budget

with A the update of the source's algorithm and D_k the k-th rollout in the target. It is the
baseline that shows what the source is worth: same algorithm, same rollouts, same budget as the
other methods, with the source recipe's own learning rate (Taylor & Stone 2009, "Transfer learning
for reinforcement learning domains: a survey", section 2).

With `anchor` the policy is pulled to what the source does, with a weight that falls to 0:
kickstarting (Schmitt et al. 2018, arXiv:1803.03835). So a policy of any size takes over what a
teacher can do, and then goes beyond it.

With `guide` the source acts in the first control steps of each episode, in fewer and fewer of them
(jump-start reinforcement learning, see `sim2real.transfer.guide`).

It assumes nothing of the target but that it may be acted in; with an anchor, that the teacher is of
use there.
"""

from __future__ import annotations

from typing import ClassVar

from stable_baselines3.common.vec_env import VecEnv

from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.anchor import Anchor, Anchored
from sim2real.transfer.augmentation import Augmented
from sim2real.transfer.budget import Budget
from sim2real.transfer.columns import in_columns_of
from sim2real.transfer.guide import Guided
from sim2real.transfer.method import LearnerMethod, Prepared, rows_of, with_random_start


class Scratch(Anchored, Guided, Augmented, LearnerMethod):
    """Learn from scratch in the target."""

    name: ClassVar[str] = "scratch"

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The source's recipe with rollouts for a target."""
        return self.resized(source, **with_random_start(source, budget))

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """The control steps of random actions, of the anchor and of the guide."""
        falls = (self.anchor or self.guide) and budget.steps
        return with_random_start(source, budget), falls

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """A new learner."""
        algorithm = build_algorithm(recipe, env, seed)
        rows = rows_of(algorithm, {})
        guides = self.guides(source, algorithm, env, budget.steps)
        callbacks = (*guides, *self.augments(algorithm))
        if not self.anchor:
            return Prepared(algorithm, rows, callbacks)
        teacher = self.teacher(source, recipe.history, env) or in_columns_of(source, env)
        anchor = Anchor(algorithm.policy, self.anchor, "actions", budget.steps, teacher)
        return Prepared(algorithm, rows, (anchor, *callbacks))
