"""From scratch: learn in the target alone, taking nothing along.

    theta_0 ~ init,    theta_{k+1} = A(theta_k, D_k),    |D_1| + ... + |D_K| <= budget

with A the update of the source's algorithm and D_k the k-th rollout in the target. It is the
baseline that shows what the source is worth: same algorithm, same rollouts, same budget as the
other methods, with the source recipe's own learning rate (Taylor & Stone 2009, "Transfer learning
for reinforcement learning domains: a survey", section 2).

It assumes nothing of the target but that it may be acted in.
"""

from __future__ import annotations

from typing import ClassVar

from stable_baselines3.common.vec_env import VecEnv

from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import LearnerMethod, Prepared, rows_of, with_random_start


class Scratch(LearnerMethod):
    """Learn from scratch in the target."""

    name: ClassVar[str] = "scratch"

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The source's recipe with rollouts for a target."""
        return self.resized(source, **with_random_start(source, budget))

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """The control steps of random actions."""
        return with_random_start(source, budget)

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """A new learner."""
        algorithm = build_algorithm(recipe, env, seed)
        return Prepared(algorithm, rows_of(algorithm, {}))
