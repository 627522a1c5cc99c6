"""Freezing: fine-tune some tensors and keep the others as they are, to the last bit.

    theta = (theta_frozen, theta_free),    theta_frozen = source's for ever,
    theta_free <- A(theta_free, D_k)

(Yosinski et al. 2014, arXiv:1411.1792: the first layers of a network transfer, the last ones are
specific; for control, Rusu et al. 2016, arXiv:1610.04286.) Fewer free tensors need less experience
and forget less, and can express less.

`frozen` are groups (`features`, `all_but_head`, `critic`, ...) and glob patterns over the names of
`policy.state_dict()`, buffers included, so that the observation statistics can be frozen too. A
frozen tensor has no gradient and no optimizer knows it, so that neither momentum nor weight decay
moves it; its copy in a target network is frozen with it. By default the first layers of actor and
critic and the statistics are frozen.

With `gradual` the layers of the actor that are free begin to learn one by one, the last first; with
`learning_rates` each at its own rate (gradual unfreezing and discriminative fine-tuning of Howard &
Ruder 2018, arXiv:1801.06146).

It assumes, beside what fine-tuning assumes, that what differs in the target can be made up for by
the tensors that are left free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.errors import UserError
from sim2real.policies.anatomy import actor_layers, named_tensors
from sim2real.policies.recipe import AnyRecipe
from sim2real.policies.tensors import match, scale_learning_rates
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import Prepared, frozen_after
from sim2real.transfer.methods.fine_tune import FineTune
from sim2real.transfer.schedule import GradualUnfreezing


class Freeze(FineTune):
    """Fine-tune what no pattern in `frozen` matches."""

    name: ClassVar[str] = "freeze"

    frozen: tuple[str, ...] | None = None
    """Groups and glob patterns of tensors; by default first layers and observation statistics."""
    gradual: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of the budget in which the free layers of the actor begin to learn, the last first."""
    learning_rates: dict[str, Annotated[float, Field(gt=0.0, le=100.0)]] = Field(
        default_factory=dict
    )
    """Factors of the learning rate by group or glob pattern; the last that matches counts."""

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """The control steps of the critic's warm-up, and of the unfreezing."""
        return super().scheduled(source, budget), self.gradual * budget.steps

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The fine-tuner with the matching tensors frozen, out of its optimizers."""
        prepared = super().prepare(source, recipe, env, budget, seed)
        policy = prepared.algorithm.policy
        names: Sequence[str] = match(
            policy, ("first_layers",) if self.frozen is None else self.frozen
        )
        if self.frozen is None:  # what was made to fit the target's columns learns on
            made = {_layer(row.tensor) for row in prepared.rows if row.action == "adapted"}
            names = [name for name in names if _layer(name) not in made]
            if not names:
                raise UserError(
                    "the first layers and the statistics were made to fit the target, so nothing "
                    "would be frozen; allowed: `frozen` with tensors that are copied"
                )
        _require_an_actor(policy, names)
        done = frozen_after(prepared, names)
        if self.learning_rates:
            scale_learning_rates(policy, self.learning_rates)
        if self.gradual:
            unfreezing = GradualUnfreezing(self.gradual * budget.steps)
            return replace(done, callbacks=(unfreezing, *done.callbacks))
        return done


def _layer(tensor: str) -> str:
    return tensor.rpartition(".")[0]


def _require_an_actor(policy: BasePolicy, frozen: Sequence[str]) -> None:
    tensors = named_tensors(policy)
    constant = {id(tensors[name]) for name in frozen}
    layers = actor_layers(policy)
    if all(id(parameter) in constant for layer in layers for parameter in layer):
        raise UserError(
            "every layer of the actor is frozen, so the policy could not change; allowed: "
            "patterns that leave one of its layers"
        )
