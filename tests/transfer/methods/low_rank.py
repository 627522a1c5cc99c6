"""A method of a user: low-rank adapters learn in the target, all tensors of the source are frozen.

Hu et al. 2021, arXiv:2106.09685: y = (W + B A) x + b, A and B of rank r. Assumes that the target
asks for a small change of the policy; fails where it asks for a change of high rank.
"""

from __future__ import annotations

from typing import Any, ClassVar

from stable_baselines3.common.policies import BasePolicy

from sim2real.policies.modifiers import Frozen, LowRank
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import Method
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work


class Adapters(Method):
    """Adapters of rank `rank` on every layer that is large enough."""

    name: ClassVar[str] = "low_rank"

    rank: int = 2
    use: int = 96
    """Control steps of the target."""

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The source's, without random actions at the start."""
        changes: dict[str, Any] = {} if source.algorithm == "ppo" else {"learning_starts": 0}
        return self.resized(source, **changes)

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """The source's policy with trained adapters."""
        env = target.env(work.recipe.num_envs)
        names = [name for name in source.checkpoint.policy if "_target." not in name]
        modifiers = [LowRank(rank=self.rank), Frozen(names=tuple(names))]
        learner = work.learner("adapt", work.recipe, env, source.policy, modifiers)
        return learner.learn(self.use)
