"""The base of the modifiers, and those that add nothing: frozen tensors and a new head."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import nn

from sim2real.config import Config
from sim2real.errors import UserError
from sim2real.policies.anatomy import anatomy, named_tensors
from sim2real.policies.tensors import freeze_tensors, match


class Modifier(Config):
    """One change of the networks of a policy, as data."""

    kind: str

    @abstractmethod
    def apply(self, policy: BasePolicy) -> Modifier:
        """Change the policy in place; return what was done, with the patterns resolved."""


class Frozen(Modifier):
    """Tensors that do not learn: constants without a gradient, which no optimizer knows."""

    kind: Literal["frozen"] = "frozen"
    names: tuple[str, ...]
    """Glob patterns of tensors; aliases and copies in target networks are frozen with them."""

    def apply(self, policy: BasePolicy) -> Frozen:
        """Freeze the tensors; UserError for a pattern without match, and if nothing can learn."""
        names = match(policy, self.names)
        freeze_tensors(policy, names)
        return Frozen(names=names)


GAINS = {"actor": 0.01, "critic": 1.0}
"""Gains of the orthogonal initial weights of PPO's heads, as in stable-baselines3."""


class Head(Modifier):
    """New weights in the last layer of the actor, the critic, or both."""

    kind: Literal["head"] = "head"
    of: Literal["actor", "critic", "both"] = "actor"

    def apply(self, policy: BasePolicy) -> Head:
        """Draw the weights of the heads as a new policy has them; target networks follow."""
        tensors, modules = named_tensors(policy), dict(policy.named_modules())
        parts = anatomy(policy).items()
        heads = {
            n: one for n, one in parts if one.place == "head" and self.of in (one.role, "both")
        }
        layers = {n.rpartition(".")[0]: one.role for n, one in heads.items() if not one.follows}
        for name, role in layers.items():
            layer = modules[name]
            if not isinstance(layer, nn.Linear):
                raise UserError(f"{name} is no plain layer: a residual policy is added to it")
            layer.reset_parameters()
            if isinstance(policy, ActorCriticPolicy):
                nn.init.orthogonal_(layer.weight, gain=GAINS[role])
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            for name, part in heads.items():
                if part.follows:
                    tensors[name].copy_(tensors[part.follows])
        return self
