"""What may learn when: callbacks that hold tensors still at the boundaries of rollouts.

stable-baselines3 calls `on_rollout_end` before an update and `on_rollout_start` (or
`on_training_end`) after it. Both callbacks depend on the number of steps alone, so a resumed run
does what one never interrupted does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from sim2real.policies.tensors import actor_parameters, named_tensors


class CriticWarmUp(BaseCallback):
    """Update the critic alone until `steps` control steps are done; then actor and critic.

    SAC's entropy coefficient rests with the actor: while the actor cannot answer, the
    coefficient's loss has a constant sign and would drive it off.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps
        self._held: list[Tensor] = []
        self._coefficient: Any = None

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.model.num_timesteps <= self._steps:
            self._hold(self.model)

    def _on_rollout_start(self) -> None:
        self._release(self.model)

    def _on_training_end(self) -> None:
        self._release(self.model)

    def _hold(self, algorithm: Any) -> None:
        self._held = [each for each in actor_parameters(algorithm.policy) if each.requires_grad]
        for parameter in self._held:
            parameter.requires_grad_(False)
            parameter.grad = None  # an optimizer steps on gradients that are left over
        self._coefficient = getattr(algorithm, "ent_coef_optimizer", None)
        if self._coefficient is not None:  # SAC then reads the constant instead
            algorithm.ent_coef_tensor = torch.exp(algorithm.log_ent_coef.detach())
            algorithm.ent_coef_optimizer = None

    def _release(self, algorithm: Any) -> None:
        for parameter in self._held:
            parameter.requires_grad_(True)
        self._held = []
        if self._coefficient is not None:
            algorithm.ent_coef_optimizer, self._coefficient = self._coefficient, None


class KeepFrozen(BaseCallback):
    """Put the tensors `names` back, to the last bit, after every update.

    Without a gradient and an optimizer two things still move a tensor: observation statistics
    take in what was observed, and the averaging of target networks rounds: in floating point
    a * (1 - tau) + a * tau is not always a.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names
        self._constants: list[Tensor] = []

    def _tensors(self) -> list[Tensor]:
        tensors = named_tensors(self.model.policy)
        return [tensors[name] for name in self._names]

    def _init_callback(self) -> None:
        self._constants = [tensor.detach().clone() for tensor in self._tensors()]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        with torch.no_grad():
            for tensor, constant in zip(self._tensors(), self._constants, strict=True):
                tensor.copy_(constant)

    def _on_training_end(self) -> None:
        self._on_rollout_start()
