"""Align what the target observes with what the source observed; its weights stay the source's.

    the policy acts on  V z + c,   z: the observation, normalized by the source's statistics
    max over V, c:   E_target log p(V z' + c | V z + c, a) + log |det V|

p are models of the source's transitions (`sim2real.transfer.alignment`): with the right V and c the
target moves, as observed, as the source does. The policy acts in the target in `rounds`, each with
the map of the one before, as better observations lead to the states that matter.

No reward is needed. Where there is one, a part of the budget is kept for whole episodes of the
untouched policy and of the aligned one, and the better one is kept (`sim2real.transfer.selection`).

It assumes that the target differs in its sensors alone, by an affine map of what they show: gains,
offsets, and, with `mixed`, a mounting that mixes the numbers of one term. Other dynamics are taken
for another map of the sensors.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sim2real.config import LAST_SEED, Count
from sim2real.errors import UserError
from sim2real.files import write_json
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.policies.layers import Layers
from sim2real.policies.modifiers import InputLayer
from sim2real.policies.modifiers.input_layer import InputLinear
from sim2real.policies.normalizer import EPSILON, normalizers
from sim2real.policies.recipe import AnyRecipe, NotNegative, Positive
from sim2real.runs.run import Run
from sim2real.task import Array, labels
from sim2real.transfer.alignment import (
    Alignment,
    Misreading,
    Steps,
    fitted,
    free_entries,
    joined,
    steps_in,
    train_models,
)
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import NETWORKS, Method
from sim2real.transfer.selection import REPORT, SOURCE, select
from sim2real.transfer.target import Target
from sim2real.transfer.transition_models import TransitionModels
from sim2real.transfer.work import Work

FOUND = "report/alignment.json"
WORLDS = 16
"""Of the source in which the models' transitions are recorded."""
SPREAD = 0.5
"""Standard deviation of the log scales, and of the shifts, by which these are misread."""


class Align(Method):
    """Map the observations of the target to those of the source."""

    name: ClassVar[str] = "align"
    needs_reward: ClassVar[bool] = False
    fits_other_tasks: ClassVar[bool] = False  # it compares with worlds of the source

    mixed: bool = False
    """Whether the numbers of one term may be mixed, as by a mounting."""
    rounds: Count = 4
    """How often the policy acts in the target and the map is fitted."""
    record_noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """Standard deviation of noise on the recorded actions, in halves of their range."""
    simulated_steps: Annotated[int, Field(ge=WORLDS, le=1_000_000)] = 40_000
    """Control steps of the source that the models learn from; they are free."""
    updates: Count = 3_000
    """Minibatches that the models learn from."""
    model_layers: Layers = (64, 64)
    """Hidden layers of each model."""
    model_learning_rate: Positive = 2e-3
    """Learning rate of the models at the start."""
    members: Annotated[int, Field(ge=1, le=100)] = 2
    """Models of the source."""
    spread: NotNegative = SPREAD
    """Standard deviation of the log scales and shifts with which the source's policy misreads the
    observations of the source, so that the models know what it does then."""
    verification: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """Part of the budget kept to compare the policies, where there is a reward."""

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The source's; UserError for one that observes more than the present, normalized."""
        recipe = self.resized(source)
        if recipe.history > 1 or recipe.estimate or not recipe.normalize_observations:
            raise UserError(
                "method 'align' maps the normalized observations of the present; allowed: a source "
                "with history=1, estimate=[] and normalize_observations=true"
            )
        return recipe

    def kept_options(self) -> tuple[str, ...]:
        """Those of the networks."""
        return NETWORKS

    def target_worlds(self, recipe: AnyRecipe) -> int:
        """One, as of a robot, or those of `num_envs`."""
        return self.num_envs or 1

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """The policy that acts on mapped observations, or the untouched one if that is better."""
        env = target.env(self.target_worlds(work.recipe))
        untouched = work.learner(SOURCE, work.recipe, env, source.policy).algorithm.policy
        layer = [InputLayer()]
        aligned = work.learner(self.name, work.recipe, env, source.policy, layer).algorithm.policy
        found = self._aligned(aligned, source, target, work)
        names = labels(target.contract.observations)
        weight, bias = found.weight.tolist(), found.bias.tolist()
        write_json(work.path / FOUND, {"observations": names, "weight": weight, "bias": bias})
        if not target.rewarded:
            return aligned
        policies = {SOURCE: untouched, self.name: aligned}
        chosen = work.once("verify", lambda: select(policies, target).plain())
        write_json(work.path / REPORT, chosen)
        return policies[chosen["chosen"]]

    def _aligned(self, policy: BasePolicy, source: Run, target: Target, work: Work) -> Alignment:
        """The map after the last round; `policy` acts by it."""
        terms = target.contract.observations
        statistics = normalizers(policy)[0]
        mean = statistics.running_mean.numpy().copy()
        std = np.sqrt(statistics.running_var.numpy() + EPSILON)
        free = free_entries(terms, mixed=self.mixed)
        log = work.once("record-source", lambda: self._recorded(source, work, mean, std, free))
        models = self._models(steps_in(log, terms, mean, std), work)
        kept = self.verification if target.rewarded else 0.0
        steps = int((1.0 - kept) * target.budget.steps) // self.rounds
        found, seen = Alignment.identity(len(mean)), list[Steps]()

        def play() -> Log:
            worlds, rng = self.target_worlds(work.recipe), work.generator
            noise, seed = self.record_noise, int(rng.integers(LAST_SEED))
            return target.record(policy, steps, worlds, noise=noise, seed=seed)

        def fit() -> dict[str, Tensor]:
            return dict(vars(fitted(models, joined(seen), free, found)))

        for number in range(1, self.rounds + 1):
            seen.append(steps_in(work.once(f"record-{number}", play), terms, mean, std))
            found = Alignment(**work.once(f"align-{number}", fit))
            act_by(found, policy)
        return found

    def _recorded(
        self, source: Run, work: Work, mean: Array, std: Array, free: NDArray[np.bool_]
    ) -> Log:
        """What the source's policy does in the source, with right and with wrong observations."""
        sensed = free.diagonal()
        rng, shape = work.generator, (WORLDS, len(mean))
        scale = np.where(sensed, np.exp(self.spread * rng.normal(size=shape)), 1.0)
        shift = np.where(sensed, self.spread * rng.normal(size=shape), 0.0)
        scale[: WORLDS // 2], shift[: WORLDS // 2] = 1.0, 0.0
        act = Misreading(source.policy, mean, std, scale, shift)
        seed = int(rng.integers(LAST_SEED))
        env = work.env(source.domain, WORLDS)
        return record(env, act, self.simulated_steps, noise=self.record_noise, seed=seed)

    def _models(self, steps: Steps, work: Work) -> TransitionModels:
        """Models of the source's transitions."""
        sizes = steps.observations.shape[1], steps.actions.shape[1]
        models = TransitionModels(*sizes, self.members, self.model_layers)

        def trained() -> dict[str, Tensor]:
            train_models(models, steps, self.updates, self.model_learning_rate)
            return dict(models.state_dict())

        models.load_state_dict(work.once("models", trained))
        return models.requires_grad_(False)


def act_by(alignment: Alignment, policy: BasePolicy) -> None:
    """Let a policy with an input layer act on observations mapped so, in place."""
    for layer in policy.modules():
        if isinstance(layer, InputLinear):
            with torch.no_grad():
                layer.input_weight.copy_(alignment.weight)
                layer.input_bias.copy_(alignment.bias)
