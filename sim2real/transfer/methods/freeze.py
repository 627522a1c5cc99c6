"""Freezing: fine-tune some tensors and keep the others as they are, to the last bit.

    theta = (theta_frozen, theta_free),    theta_frozen = source's for ever,
    theta_free <- A(theta_free, D_k)

(Yosinski et al. 2014, arXiv:1411.1792: the first layers of a network transfer, the last ones are
specific; for control, Rusu et al. 2016, arXiv:1610.04286.) Fewer free tensors need less experience
and forget less, and can express less.

`frozen` are glob patterns over the names of `policy.state_dict()`, buffers included, so that the
observation statistics can be frozen too. A frozen tensor has no gradient and no optimizer knows
it, so that neither momentum nor weight decay moves it; its copy in a target network is frozen
with it. By default the first layers of actor and critic and the statistics are frozen.

It assumes, beside what fine-tuning assumes, that what differs in the target can be made up for by
the tensors that are left free.
"""

from __future__ import annotations

from typing import ClassVar

from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.policies.anatomy import anatomy
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import Prepared, frozen_after
from sim2real.transfer.methods.fine_tune import FineTune


class Freeze(FineTune):
    """Fine-tune what no pattern in `frozen` matches."""

    name: ClassVar[str] = "freeze"

    frozen: tuple[str, ...] | None = None
    """Glob patterns of tensors; by default the first layers and the observation statistics."""

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The fine-tuner with the matching tensors out of its optimizers and at rest."""
        prepared = super().prepare(source, recipe, env, budget, seed)
        if self.frozen is not None:
            return frozen_after(prepared, self.frozen)
        first = first_layers(prepared.algorithm.policy)
        action_of = {row.tensor: row.action for row in prepared.rows}
        # what was made to fit the target's columns learns on
        return frozen_after(prepared, [name for name in first if action_of[name] != "adapted"])


def first_layers(policy: BasePolicy) -> tuple[str, ...]:
    """The names of the observation statistics and of the first hidden layers."""
    return tuple(
        name
        for name, part in anatomy(policy).items()
        if part.place == "statistics" or (part.place == "trunk" and part.reads_input)
    )
