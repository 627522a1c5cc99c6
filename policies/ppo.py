"""PPO with a discount that may rise during a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import stable_baselines3


class PPO(stable_baselines3.PPO):
    """PPO whose discount is that of `gamma_at`, if given, at the part of the training that is done.

    It changes before a rollout, for its advantages and for the bootstrapped ends of its episodes.
    """

    gamma_at: Callable[[float], float] | None = None

    def collect_rollouts(self, *args: Any, **options: Any) -> bool:
        """Set the discount, then collect a rollout."""
        if self.gamma_at is not None:
            done = self.num_timesteps / max(self._total_timesteps, 1)
            self.gamma = self.rollout_buffer.gamma = self.gamma_at(done)
            self.logger.record("train/gamma", self.gamma)
        return super().collect_rollouts(*args, **options)
