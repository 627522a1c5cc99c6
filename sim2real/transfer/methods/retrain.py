"""Retraining: go on as in pretraining, from the source's weights, where steps cost nothing.

    theta_0 = theta_source,    theta_{k+1} = A(theta_k, D_k; learning rate falling to 0)

The settings are those of the source's pretraining: its worlds, rollouts and minibatches, its
learning rate, which falls linearly to 0 with PPO, and the exploration noise of a fresh policy. It
is meant for simulations that are close to the target, such as an identified one, and for budgets of
millions of steps. The cautious settings of `fine_tune` keep the source's behaviour where the target
gives few steps; where steps are free they only slow learning down.

It assumes that the domain has the source's observation and action spaces, or another task's that
are matched by name (`match`), and a reward, and that the budget is about as large as that of a
pretraining.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field
from stable_baselines3.common.vec_env import VecEnv

from sim2real.policies.anatomy import named_tensors
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.adaptation import restart_exploration
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import Prepared
from sim2real.transfer.methods.fine_tune import FineTune


class Retrain(FineTune):
    """Train all tensors as in pretraining, where steps cost nothing."""

    name: ClassVar[str] = "retrain"

    learning_rate_factor: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    """Times the source recipe's learning rate."""
    warm_up: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of the budget during which the critic learns alone."""
    log_std: float | None = None
    """PPO: explore with at most this log standard deviation at the start; None: no bound."""
    verification: Annotated[float, Field(ge=0.0, le=0.5)] = 0.05
    """Part of the budget kept to compare the policy with the source's; the better one is kept."""

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The recipe of the source's pretraining, with a learning rate that falls to 0 (PPO)."""
        rate = source.learning_rate * self.learning_rate_factor
        return self.as_in_pretraining(source, learning_rate=rate)

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The source's policy with fresh optimizers, and PPO with a fresh policy's exploration."""
        prepared = super().prepare(source, recipe, env, budget, seed)
        restart_exploration(prepared.algorithm, recipe)
        if (log_std := named_tensors(prepared.algorithm.policy).get("log_std")) is not None:
            self._bound_noise(log_std)
        rows = [
            replace(row, action="fresh") if row.tensor == "log_std" else row
            for row in prepared.rows
        ]
        return replace(prepared, rows=tuple(rows))
