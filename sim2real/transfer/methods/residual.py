"""Residual policy: a small network learns what to add to the actions of the frozen source policy.

    mean(o) = mean_source(o) + f(o),    f = 0 at the start

(Silver et al. 2018, "Residual policy learning", arXiv:1812.06298; Johannink et al. 2019, "Residual
reinforcement learning for robot control", arXiv:1812.03201.) The actor of the source and the
observation statistics are frozen; f, the critic and PPO's exploration noise learn. It is
added before the squash of SAC and TD3, so actions stay within their bounds.

With `lateral` each layer of f reads the source's layer beside it, too: f is the second column of a
progressive network (Rusu et al. 2016, arXiv:1606.04671; from simulation to a robot: Rusu et al.
2016, arXiv:1610.04286). It has as many layers as the source.

It assumes, beside what fine-tuning assumes, that the target asks for a correction of the source's
actions, and that their squash is not saturated.
"""

from __future__ import annotations

from typing import ClassVar

from stable_baselines3.common.vec_env import VecEnv

from sim2real.policies.layers import Layers
from sim2real.policies.modifiers import Residual, apply_modifiers
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import Prepared, frozen_after, sources_tensors
from sim2real.transfer.methods.fine_tune import FineTune


class ResidualPolicy(FineTune):
    """Learn a residual policy beside the frozen actor of the source."""

    name: ClassVar[str] = "residual"

    net_arch: Layers | None = (32,)
    """Hidden layers of the residual policy; None: as large as the source's."""
    lateral: bool = False
    """Whether each layer of the residual policy reads the source's layer beside it, too."""

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """The fine-tuner with a residual policy, and without the source's actor."""
        prepared = super().prepare(source, recipe, env, budget, seed)
        added = Residual(net_arch=self.net_arch, lateral=self.lateral)
        apply_modifiers(prepared.algorithm.policy, [added])
        return frozen_after(prepared, sources_tensors(prepared, "actor"))
