"""Augmentation of observations: each sample is multiplied by a random factor of its own.

    s <- z s,  s' <- z s',    z ~ U[1 - w, 1 + w], one number a sample, drawn anew each time

Random amplitude scaling (Laskin et al. 2020, "Reinforcement learning with augmented data",
arXiv:2004.14990, section 4.2): what is learned does not depend on the exact gain of the sensors. It
is done where samples of the replay buffer are drawn, and costs no step of the target.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sim2real.config import Config
from sim2real.errors import UserError
from sim2real.learning.callbacks import AtRollouts


class Augmented(Config):
    """The option of a method that learns from scaled observations."""

    augmentation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """SAC, TD3: observations are multiplied by a random factor in 1 - this to 1 + this."""

    def augments(self, algorithm: BaseAlgorithm) -> tuple[BaseCallback, ...]:
        """The augmentation of a training, if there is one.

        Raises UserError for an algorithm without a replay buffer.
        """
        if not self.augmentation:
            return ()
        if not isinstance(algorithm, OffPolicyAlgorithm):
            raise UserError(
                "augmentation: PPO compares the probabilities of its actions at what it observed; "
                "allowed: sac, td3"
            )
        return (Augmentation(self.augmentation),)


class Augmentation(AtRollouts):
    """Scales the observations of what the algorithm draws from its replay buffer."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self._width = width

    def _on_training_start(self) -> None:
        replay: Any = self.model.replay_buffer  # type: ignore[attr-defined]
        draw = replay.sample

        def scaled(*arguments: Any, **options: Any) -> ReplayBufferSamples:
            return in_scales(draw(*arguments, **options), self._width)

        replay.sample = scaled

    def _on_training_end(self) -> None:
        vars(self.model.replay_buffer).pop("sample", None)  # type: ignore[attr-defined]


def in_scales(samples: ReplayBufferSamples, width: float) -> ReplayBufferSamples:
    """The samples with scales of their own, the same before and after a step."""
    scales = 1.0 + width * (2.0 * torch.rand(len(samples.rewards), 1) - 1.0)
    return samples._replace(
        observations=scales * samples.observations,
        next_observations=scales * samples.next_observations,
    )
