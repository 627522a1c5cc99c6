"""What may learn when: callbacks that hold tensors still at the boundaries of rollouts.

stable-baselines3 calls `on_rollout_end` before an update and `on_rollout_start` (or
`on_training_end`) after it. Both callbacks depend on the number of steps alone, so a resumed run
does what one never interrupted does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sim2real.learning.callbacks import AtRollouts
from sim2real.policies.anatomy import actor_layers, actor_parameters, named_tensors


class CriticWarmUp(AtRollouts):
    """Update the critic alone for the first `steps` control steps; then actor and critic.

    Where they end within a rollout, that part of the rounds of its update is the critic's alone,
    rounded up: a round is an epoch of PPO, a gradient step of SAC and TD3. It works however small
    the budget is beside a rollout. SAC's entropy coefficient is constant, too: while the actor
    cannot answer, the coefficient's loss has a constant sign and would drive it off.
    """

    def __init__(self, steps: float) -> None:
        super().__init__()
        self._steps = steps
        self._begun = 0
        self._rounds: int | None = None
        self._held: list[Tensor] = []
        self._coefficient: Any = None

    def _on_rollout_start(self) -> None:
        self._restore(self.model)
        self._begun = self.model.num_timesteps

    def _on_training_end(self) -> None:
        self._restore(self.model)

    def _on_rollout_end(self) -> None:
        algorithm: Any = self.model
        starts = getattr(algorithm, "learning_starts", 0)
        if algorithm.num_timesteps <= starts:
            return  # nothing is learned yet
        collected = algorithm.num_timesteps - self._begun
        rounds = getattr(algorithm, _rounds_of(algorithm))
        total = collected if rounds < 0 else rounds
        alone = rounds_alone(total, collected, self._steps - max(self._begun - starts, 0))
        if alone > 0:
            self._hold(algorithm)
        if 0 < alone < total:
            self._train(algorithm, alone, total)

    def _train(self, algorithm: Any, alone: int, total: int) -> None:
        """Make the critic's rounds, and leave the rest of them to the update that follows."""
        name = _rounds_of(algorithm)
        self._rounds = getattr(algorithm, name)
        if name == "n_epochs":
            algorithm.n_epochs = alone
            algorithm.train()
        else:
            algorithm.train(gradient_steps=alone, batch_size=algorithm.batch_size)
        setattr(algorithm, name, total - alone)
        self._release(algorithm)

    def _restore(self, algorithm: Any) -> None:
        """All learn, in as many rounds as usual."""
        self._release(algorithm)
        if self._rounds is not None:
            setattr(algorithm, _rounds_of(algorithm), self._rounds)
            self._rounds = None

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


def rounds_alone(rounds: int, collected: int, left: float) -> int:
    """How many of the `rounds` of an update are the critic's alone.

    The update is on `collected` control steps, of which `left` still belong to the warm-up.

    >>> rounds_alone(5, 1024, 800.0), rounds_alone(5, 1024, 2000.0), rounds_alone(5, 1024, -224.0)
    (4, 5, 0)
    """
    return math.ceil(rounds * min(max(left / collected, 0.0), 1.0))


def _rounds_of(algorithm: Any) -> str:
    """The attribute with the number of rounds of an update."""
    return "n_epochs" if hasattr(algorithm, "n_epochs") else "gradient_steps"


class GradualUnfreezing(AtRollouts):
    """Let the actor's layers learn one by one over the first `steps` control steps, the last first.

    Howard & Ruder 2018, "Universal language model fine-tuning for text classification",
    arXiv:1801.06146, section 3.3. It must come before a `CriticWarmUp`, which makes updates, too.
    """

    def __init__(self, steps: float) -> None:
        super().__init__()
        self._steps = steps
        self._held: Sequence[Tensor] = ()

    def _on_rollout_start(self) -> None:
        for parameter in self._held:
            parameter.requires_grad_(True)
        self._held = ()

    def _on_training_end(self) -> None:
        self._on_rollout_start()

    def _on_rollout_end(self) -> None:
        layers = actor_layers(self.model.policy)
        free = layers_free(len(layers), self.model.num_timesteps, self._steps)
        frozen = [one for layer in layers[free:] for one in layer if one.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
            parameter.grad = None  # an optimizer steps on gradients that are left over
        self._held = frozen


def layers_free(layers: int, done: int, steps: float) -> int:
    """How many of the `layers` learn after `done` control steps, if all do after `steps`.

    >>> [layers_free(3, done, 1000.0) for done in (0, 499, 500, 999, 1000, 2000)]
    [1, 1, 2, 2, 3, 3]
    """
    return layers if done >= steps else 1 + int((layers - 1) * done / steps)


class KeepFrozen(AtRollouts):
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

    def _on_rollout_start(self) -> None:
        with torch.no_grad():
            for tensor, constant in zip(self._tensors(), self._constants, strict=True):
                tensor.copy_(constant)

    def _on_training_end(self) -> None:
        self._on_rollout_start()
