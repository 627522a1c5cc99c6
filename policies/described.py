"""SB3's policies with a `repr` of one line."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from sim2real.errors import UserError
from sim2real.policies.networks import SACPolicy, TD3Policy


class Described(BasePolicy):
    """A policy whose `repr` is one line; `dict(policy.named_modules())` has the layers."""

    def __repr__(self) -> str:
        seen, given = self.observation_space.shape, self.action_space.shape
        count = sum(parameter.numel() for parameter in self.parameters())
        return f"{type(self).__name__}(observation {seen}, action {given}, {count:,} parameters)"

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """As SB3's; UserError for observations of another shape than (k,) or (n, k)."""
        try:
            return super().predict(observation, *args, **kwargs)
        except ValueError as error:
            if "observation shape" not in str(error):
                raise
            size = self.observation_space.shape[0]  # type: ignore[index]
            raise UserError(
                f"the observations have the shape {np.shape(observation)}; "
                f"allowed: ({size},) or (n, {size})"
            ) from None


class MlpActorCriticPolicy(Described, ActorCriticPolicy):
    """For PPO."""


class MlpSACPolicy(Described, SACPolicy):
    """For SAC."""


class MlpTD3Policy(Described, TD3Policy):
    """For TD3."""
