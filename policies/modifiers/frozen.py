"""Frozen tensors: constants without a gradient, which no optimizer knows."""

from __future__ import annotations

from typing import Literal

from stable_baselines3.common.policies import BasePolicy

from sim2real.policies.modifiers.modifier import Modifier
from sim2real.policies.tensors import freeze_tensors, match


class Frozen(Modifier):
    """Tensors that do not learn."""

    kind: Literal["frozen"] = "frozen"
    names: tuple[str, ...]
    """Glob patterns of tensors; aliases and copies in target networks are frozen with them."""

    def apply(self, policy: BasePolicy) -> Frozen:
        """Freeze the tensors; UserError for a pattern without match, and if nothing can learn."""
        names = match(policy, self.names)
        freeze_tensors(policy, names)
        return Frozen(names=names)
