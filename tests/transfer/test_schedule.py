from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sim2real.transfer.budget import Budget, Meter, MeteredVecEnv
from sim2real.transfer.schedule import fit_rollouts, warm_up_critic
from sim2real.transfer.tensors import actor_parameters, named_tensors

ALGORITHMS = ["ppo", "sac", "td3"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("steps", [4, 100, 108])
def test_the_budget_is_used_exactly(
    algorithm: str, steps: int, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    world = counting(4)
    env = MeteredVecEnv(world, Meter(Budget(steps), 0.05))
    learner = build(algorithm, env)
    fit_rollouts(learner, Budget(steps).usable(4))
    learner.learn(steps)
    assert learner.num_timesteps == world.stepped == env.meter.usage.steps == steps


def copies(tensors: list[Any]) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


def same(left: list[torch.Tensor], right: list[Any]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(left, right, strict=True)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_warm_up_moves_the_critic_alone_then_both(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learner = build(algorithm, counting(4))
    warm_up_critic(learner, 64)
    actor = list(actor_parameters(learner.policy))
    before_actor, tensors = copies(actor), named_tensors(learner.policy)
    critic = [t for name, t in tensors.items() if "value_net" in name or "critic.qf" in name]
    before_critic = copies(critic)
    alpha = getattr(learner, "log_ent_coef", None)
    learner.learn(64)
    assert all(same(before_actor, actor))
    assert not any(same(before_critic, critic))
    assert alpha is None or alpha.item() == 0.0
    assert all(parameter.requires_grad for parameter in actor)
    learner.learn(64, reset_num_timesteps=False)
    assert not any(same(before_actor, actor))
    assert alpha is None or alpha.item() != 0.0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_actor_parameters_are_those_that_decide_the_action(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    policy = build(algorithm, counting(2)).policy

    def action() -> Any:
        torch.manual_seed(0)
        return policy.predict([[1.0, 2.0, 3.0]], deterministic=False)[0]

    actor = {id(parameter) for parameter in actor_parameters(policy)}
    for name, parameter in policy.named_parameters():
        before = action()
        with torch.no_grad():
            parameter.add_(0.05)
        changed = bool((action() != before).any())
        assert changed == (id(parameter) in actor), name
