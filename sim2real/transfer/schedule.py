"""When an SB3 algorithm collects and learns, given a budget: whole rollouts, critic warm-up.

Both are functions of `num_timesteps` alone, so a resumed run does what one never interrupted does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq

from sim2real.transfer.budget import rollout_length
from sim2real.transfer.tensors import actor_parameters


def fit_rollouts(algorithm: Any, steps: int) -> None:
    """Cut the rollouts so that they use up `steps` (all worlds together) and not one more."""
    collect = algorithm.collect_rollouts

    def length(longest: int) -> int:
        left = (steps - algorithm.num_timesteps) // algorithm.n_envs
        return rollout_length(left, longest)

    def collect_on_policy(env: Any, callback: Any, buffer: Any, n_rollout_steps: int) -> Any:
        buffer.buffer_size = length(n_rollout_steps)
        return collect(env, callback, buffer, buffer.buffer_size)

    def collect_off_policy(*args: Any, train_freq: TrainFreq, **kwargs: Any) -> Any:
        fitted = TrainFreq(length(train_freq.frequency), train_freq.unit)
        return collect(*args, train_freq=fitted, **kwargs)

    on_policy = isinstance(algorithm, OnPolicyAlgorithm)
    algorithm.collect_rollouts = collect_on_policy if on_policy else collect_off_policy


def warm_up_critic(algorithm: Any, steps: int) -> None:
    """Update the critic alone until `steps` control steps are done; then actor and critic."""
    train = algorithm.train

    def staged(*args: Any, **kwargs: Any) -> None:
        if algorithm.num_timesteps > steps:
            train(*args, **kwargs)
        else:
            with held_actor(algorithm):
                train(*args, **kwargs)

    algorithm.train = staged


@contextlib.contextmanager
def held_actor(algorithm: Any) -> Iterator[None]:
    """Within the block, neither the actor nor SAC's entropy coefficient is updated.

    The coefficient must rest too: while the actor cannot answer, its loss has a constant sign and
    would drive it off.
    """
    learning = [tensor for tensor in actor_parameters(algorithm.policy) if tensor.requires_grad]
    coefficient = getattr(algorithm, "ent_coef_optimizer", None)
    for tensor in learning:
        tensor.requires_grad_(False)
        tensor.grad = None  # an optimizer steps on gradients that are left over
    if coefficient is not None:
        algorithm.ent_coef_tensor = torch.exp(algorithm.log_ent_coef.detach())
        algorithm.ent_coef_optimizer = None
    try:
        yield
    finally:
        for tensor in learning:
            tensor.requires_grad_(True)
        if coefficient is not None:
            algorithm.ent_coef_optimizer = coefficient
