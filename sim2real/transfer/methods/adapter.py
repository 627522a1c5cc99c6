"""Adapters: the source's weights are frozen, and a low-rank matrix beside each layer learns.

    y = (W + alpha / rank * B A) x + b,    A: (rank, inputs), B: (outputs, rank)

W and b are the source's for ever; A and B learn (Hu et al. 2021, "LoRA: Low-rank adaptation of
large language models", arXiv:2106.09685). B starts at zero, so the first action is the source's.
The names `lora_A` and `lora_B` are those of the library PEFT.

The actor has adapters; its biases and the observation statistics are frozen, too; PPO's
exploration noise learns. The critic learns in full, as it is not part of what acts; where `layers`
names layers of it ("*": all of both), it is frozen as the actor is.
`sim2real.policies.modifiers.merge` gives a policy without adapters that acts equally.

It assumes, beside what fine-tuning assumes, that a change of low rank is enough.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.errors import UserError
from sim2real.policies.anatomy import Role, anatomy
from sim2real.policies.modifiers import LowRank, apply_modifiers
from sim2real.policies.modifiers.linear import linear_layers
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import Prepared, frozen_after, sources_tensors
from sim2real.transfer.methods.fine_tune import FineTune


class Adapter(FineTune):
    """Learn low-rank adapters of the source's layers."""

    name: ClassVar[str] = "adapter"

    learning_rate_factor: Annotated[float, Field(gt=0.0, le=10.0)] = 2.0
    """Times the source recipe's learning rate; more than for all weights, as adapters are small."""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Glob patterns of layers, "action_net"; by default those of the actor that have the rank."""
    rank: Annotated[int, Field(ge=1)] = 4
    alpha: Annotated[float, Field(gt=0.0)] = 4.0
    """The adapters are multiplied by alpha / rank."""

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The fine-tuner with adapters, and without the source's weights in its optimizers."""
        prepared = super().prepare(source, recipe, env, budget, seed)
        policy = prepared.algorithm.policy
        layers = self._of_the_actor(policy) if self.layers is None else self.layers
        adapters = LowRank(layers=layers, rank=self.rank, scale=self.alpha / self.rank)
        apply_modifiers(policy, [adapters])
        return frozen_after(prepared, sources_tensors(prepared, *self._adapted(policy)))

    def _of_the_actor(self, policy: BasePolicy) -> tuple[str, ...]:
        """Its layers that are large enough, or else its largest, which is then refused."""
        parts = anatomy(policy)
        sizes = {
            name: min(layer.weight.shape)
            for name, layer in linear_layers(policy).items()
            if (part := parts[f"{name}.weight"]).role == "actor" and not part.follows
        }
        fitting = tuple(name for name, size in sizes.items() if size >= self.rank)
        return fitting or (max(sizes, key=lambda name: sizes[name]),)

    def _adapted(self, policy: BasePolicy) -> set[Role]:
        """The networks in which layers have adapters."""
        adapted = {part.role for name, part in anatomy(policy).items() if ".lora_" in name}
        if "actor" not in adapted:
            raise UserError(
                f"layers {self.layers} names no layer of the actor; allowed: one or more"
            )
        if "critic" in adapted and self.critic == "fresh":
            raise UserError(
                "critic 'fresh' has no weights of the source to adapt; allowed: `layers` of the "
                "actor alone"
            )
        return adapted
