"""Stop a training whose numbers are not finite, or whose worlds break down too often."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.errors import UserError

WINDOW = 200
"""The last episodes, of which the unstable ones are counted."""
FEWEST = 50
"""Episodes below which nothing is judged."""
EVERY = 1_000
"""Control steps between two looks at all numbers of the networks."""


class Soundness(BaseCallback):
    """Raises UserError for what makes a training worthless.

    These are a loss that is not finite after an update, a number of the networks that is not, and
    more than the share `max_unstable` of the last 200 episodes (at least 50) unstable.
    """

    def __init__(self, max_unstable: float) -> None:
        super().__init__()
        self._most = max_unstable
        self._unstable: deque[bool] = deque(maxlen=WINDOW)
        self._checked = -EVERY

    def state(self) -> dict[str, Any]:
        """The episodes counted so far, as JSON."""
        return {"unstable": list(self._unstable)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self._unstable.extend(state["unstable"])

    def _on_step(self) -> bool:
        ended = [info for info in self.locals["infos"] if "episode" in info]
        self._unstable.extend(bool(info.get("unstable", False)) for info in ended)
        count, broken = len(self._unstable), sum(self._unstable)
        if ended and count >= FEWEST and broken > self._most * count:
            raise UserError(
                f"{broken} of the last {count} episodes became unstable at step "
                f"{self.num_timesteps:,}; allowed: a share of {self._most:g} (max_unstable); "
                "`sim2real audit` shows what breaks the physics"
            )
        return True

    def _on_rollout_start(self) -> None:
        self._check_losses()
        if self.num_timesteps - self._checked >= EVERY:
            self._checked = self.num_timesteps
            self.check_networks()

    def _on_training_end(self) -> None:
        self._check_losses()
        self.check_networks()

    def _check_losses(self) -> None:
        for name, value in self.logger.name_to_value.items():
            if name.startswith("train/") and name.endswith("loss") and not math.isfinite(value):
                raise UserError(f"{name} is {value} {self._where}")

    def check_networks(self) -> None:
        """UserError for the first number of the networks that is not finite."""
        for name, tensor in self.model.policy.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise UserError(f"the network's {name} is not finite {self._where}")

    @property
    def _where(self) -> str:
        advice = "a smaller learning_rate or reward_scale may help"
        return f"after the update at step {self.num_timesteps:,}; {advice}"
