"""Re-estimate the observation statistics in the target; the weights stay the source's.

    mean = (1 - w) mean_source + w mean_target
    var  = (1 - w) var_source + w var_target + w (1 - w) (mean_target - mean_source)^2

with w the share of the target in the pooled observations. They are estimated while the policy acts
with the statistics of the rounds before, as the observations depend on how it acts (adaptive batch
normalization: Li et al. 2016, "Revisiting batch normalization for practical domain adaptation",
arXiv:1603.04779; here of the inputs of a policy).

No reward is needed. Where there is one, a part of the budget is kept for whole episodes of the
untouched policy and of one policy for each share, and the best of them is kept (see
`sim2real.transfer.selection`).

It assumes that the statistics of the target tell how its observations differ. Those of a policy
that falls at once do not.
"""

from __future__ import annotations

import copy
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sim2real.config import Count
from sim2real.errors import UserError
from sim2real.files import write_json
from sim2real.policies.normalizer import normalizers, update_normalizers
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.method import NETWORKS, Method
from sim2real.transfer.selection import REPORT, SOURCE, select
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Statistics(Method):
    """Re-estimate the observation statistics in the target."""

    name: ClassVar[str] = "statistics"
    needs_reward: ClassVar[bool] = False

    shares: Annotated[tuple[Share, ...], Field(min_length=1, max_length=10)] = (0.5,)
    """Shares of the target in the statistics; one policy each, and without a reward one in all."""
    rounds: Count = 8
    """Updates of the statistics of a policy, at equal distances."""
    verification: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Part of the budget kept to compare the policies, where there is a reward."""

    def kept_options(self) -> tuple[str, ...]:
        """Those of the networks."""
        return NETWORKS

    def target_worlds(self, recipe: AnyRecipe) -> int:
        """One, as of a robot, or those of `num_envs`."""
        return self.num_envs or 1

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """A policy for each share, of which the best in the target is chosen."""
        env = target.env(self.target_worlds(work.recipe))
        untouched = work.learner("source", work.recipe, env, source.policy).algorithm.policy
        self._require_usable(untouched)
        kept = self.verification if self.reward else 0.0
        steps = int((1.0 - kept) * target.budget.steps / len(self.shares))
        policies = {SOURCE: untouched}
        for share in self.shares:
            policies[f"share {share:g}"] = self._estimated(untouched, share, steps, target, work)
        if not self.reward:
            return policies.popitem()[1]
        found = work.once("verify", lambda: select(policies, target).plain())
        write_json(work.path / REPORT, found)
        return policies[found["chosen"]]

    def _require_usable(self, policy: BasePolicy) -> None:
        """Raise UserError for a policy without statistics, and for shares without a reward."""
        if not normalizers(policy):
            raise UserError("method statistics: the policy has no observation statistics")
        if len(self.shares) > 1 and not self.reward:
            shown = ", ".join(f"{one:g}" for one in self.shares)
            raise UserError(f"shares {shown} cannot be compared without a reward; allowed: one")

    def _estimated(
        self, source: BasePolicy, share: float, steps: int, target: Target, work: Work
    ) -> BasePolicy:
        """The policy with statistics of which `steps` observations of the target are a `share`."""
        policy = copy.deepcopy(source)
        worlds = self.target_worlds(work.recipe)
        lengths = [len(one) for one in np.array_split(np.arange(steps // worlds), self.rounds)]

        def estimate() -> dict[str, Tensor]:
            counts = [one.count.clone() for one in normalizers(policy)]
            for one in normalizers(policy):
                one.count.fill_(sum(lengths) * worlds * (1.0 - share) / share)
            env = target.env(worlds)
            observation = np.asarray(env.reset())
            for length in lengths:
                seen = []
                for _ in range(length):
                    action, _ = policy.predict(observation, deterministic=True)
                    observation = np.asarray(env.step(action)[0])
                    seen.append(observation)
                if seen:
                    update_normalizers(policy, torch.as_tensor(np.concatenate(seen)))
            for one, count in zip(normalizers(policy), counts, strict=True):
                one.count.copy_(count)
            return dict(policy.state_dict())

        policy.load_state_dict(work.once(f"estimate-{share:g}".replace(".", "-"), estimate))
        return policy
