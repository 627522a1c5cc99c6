"""The base of the modifiers."""

from __future__ import annotations

from abc import abstractmethod

from stable_baselines3.common.policies import BasePolicy

from sim2real.config import Config


class Modifier(Config):
    """One change of the networks of a policy, as data."""

    kind: str

    @abstractmethod
    def apply(self, policy: BasePolicy) -> Modifier:
        """Change the policy in place; return what was done, with the patterns resolved."""
