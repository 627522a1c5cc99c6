"""Adapters: the source's weights rest to the last bit, a low-rank matrix beside each layer learns.

    y = (W + alpha / rank * B A) x + b,    A: (rank, inputs), B: (outputs, rank)

W and b are the source's for ever; A and B learn (Hu et al. 2021, "LoRA: Low-rank adaptation of
large language models", arXiv:2106.09685). B starts at zero, so the first action is the source's.
The names `lora_A` and `lora_B` are those of the library PEFT.

Actor and critic have adapters, and their biases and the observation statistics rest with the
weights; PPO's exploration noise learns. A critic none of whose layers is named in `layers` learns
in full. `sim2real.policies.modifiers.merge` gives a policy without adapters that acts equally.

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
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import Prepared, frozen_after, sources_tensors
from sim2real.transfer.methods.fine_tune import FineTune


class Adapter(FineTune):
    """Learn low-rank adapters of the source's layers."""

    name: ClassVar[str] = "adapter"

    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    """Glob patterns of layers, "mlp_extractor.policy_net.0"; by default all of `rank` at least."""
    rank: Annotated[int, Field(ge=1)] = 4
    alpha: Annotated[float, Field(gt=0.0)] = 4.0
    """The adapters are multiplied by alpha / rank."""

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The fine-tuner with adapters, and without the source's weights in its optimizers."""
        prepared = super().prepare(source, recipe, env, budget, seed)
        policy = prepared.algorithm.policy
        adapters = LowRank(layers=self.layers, rank=self.rank, scale=self.alpha / self.rank)
        apply_modifiers(policy, [adapters])
        return frozen_after(prepared, sources_tensors(prepared, *self._adapted(policy)))

    def _adapted(self, policy: BasePolicy) -> set[Role]:
        """The networks in which layers have adapters."""
        adapted = {part.role for name, part in anatomy(policy).items() if ".lora_" in name}
        if "actor" not in adapted:
            raise UserError(f"layers {list(self.layers)} has no layer of the actor; allowed: one")
        if "critic" in adapted and self.critic == "fresh":
            raise UserError(
                "critic 'fresh' has no weights of the source to adapt; allowed: `layers` of the "
                "actor alone"
            )
        return adapted
