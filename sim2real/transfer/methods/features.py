"""Feature extraction: the actor's trunk is frozen, and a new layer at one end learns.

    head:   mean = W' h(o) + b',           W', b' new
    input:  mean = W h(V o + c) + b,       V = 1, c = 0 at the start

h are the hidden layers of the source's actor, o the normalized observation. A new head reads old
features (Yosinski et al. 2014, arXiv:1411.1792; Sharif Razavian et al. 2014, "CNN features
off-the-shelf", arXiv:1403.6382); a new input layer gives an old policy what it expects to see. The
trunk and the observation statistics are frozen, with an input layer the head, too. The
critic learns in full.

With a new head the first action is not the source's: it explores as a policy from scratch does.

It assumes, beside what fine-tuning assumes, that the features fit the target (head), or that what
is observed is an affine map of what was observed in the source (input).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from stable_baselines3.common.vec_env import VecEnv

from sim2real.policies.anatomy import anatomy
from sim2real.policies.modifiers import Head, InputLayer, apply_modifiers
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.adaptation import restart_exploration
from sim2real.transfer.budget import Budget
from sim2real.transfer.manifest import Action
from sim2real.transfer.method import (
    Prepared,
    frozen_after,
    rows_of,
    sources_tensors,
    with_random_start,
)
from sim2real.transfer.methods.fine_tune import FineTune


class Features(FineTune):
    """Learn a new head, or a new input layer, of the source's actor."""

    name: ClassVar[str] = "features"

    learn: Literal["head", "input"] = "head"
    """The part of the actor that is new."""

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """That of fine-tuning; with a new head it begins with random actions."""
        recipe = super().target_recipe(source, budget)
        return recipe.model_copy(update=self._random_start(source, budget))

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """The control steps of the critic's warm-up, and of random actions."""
        return super().scheduled(source, budget), self._random_start(source, budget)

    def _random_start(self, source: AnyRecipe, budget: Budget) -> dict[str, Any]:
        asked = self.learn == "input" or "learning_starts" in self.recipe
        return {} if asked else with_random_start(source, budget)

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The fine-tuner with the new layer, and without the rest of the source's actor."""
        prepared = super().prepare(source, recipe, env, budget, seed)
        policy = prepared.algorithm.policy
        if self.learn == "input":
            apply_modifiers(policy, [InputLayer()])
            return frozen_after(prepared, sources_tensors(prepared, "actor"))
        apply_modifiers(policy, [Head(of="actor")])
        restart_exploration(prepared.algorithm, recipe)
        new = {
            name
            for name, part in anatomy(policy).items()
            if part.role == "actor" and part.place in ("head", "noise")
        }
        action_of: dict[str, Action] = {row.tensor: row.action for row in prepared.rows}
        rows = rows_of(prepared.algorithm, action_of | dict.fromkeys(new, "fresh"))
        begun = Prepared(prepared.algorithm, rows, prepared.callbacks)
        return frozen_after(begun, sources_tensors(begun, "actor"))
