"""SB3's policies with a description of one line in place of a page of layers."""

from __future__ import annotations

from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy


class Described(BasePolicy):
    """A policy whose `repr` is one line; `dict(policy.named_modules())` has the layers."""

    def __repr__(self) -> str:
        seen, given = self.observation_space.shape, self.action_space.shape
        count = sum(parameter.numel() for parameter in self.parameters())
        return f"{type(self).__name__}(observation {seen}, action {given}, {count:,} parameters)"


class MlpActorCriticPolicy(Described, ActorCriticPolicy):
    """For PPO."""


class MlpSACPolicy(Described, SACPolicy):
    """For SAC."""


class MlpTD3Policy(Described, TD3Policy):
    """For TD3."""
