from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.learning.callbacks import NormalizerUpdate
from sim2real.policies.anatomy import actor_layers, actor_parameters, named_tensors
from sim2real.policies.tensors import freeze_tensors, match
from sim2real.transfer.schedule import CriticWarmUp, GradualUnfreezing, KeepFrozen

ALGORITHMS = ["ppo", "sac", "td3"]
FIRST_LAYERS = {
    "ppo": ["mlp_extractor.*_net.0.*", "*running_*", "*.count"],
    "sac": ["actor.latent_pi.0.*", "critic.qf*.0.*", "*running_*", "*.count"],
    "td3": ["actor.mu.0.*", "critic.qf*.0.*", "*running_*", "*.count"],
}


def copies(tensors: list[Any]) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


def same(left: list[torch.Tensor], right: list[Any]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(left, right, strict=True)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_warm_up_moves_the_critic_alone_then_both(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learner = build(algorithm, counting(4))
    actor = list(actor_parameters(learner.policy))
    before_actor, tensors = copies(actor), named_tensors(learner.policy)
    critic = [t for name, t in tensors.items() if "value_net" in name or "critic.qf" in name]
    before_critic = copies(critic)
    assert actor
    assert critic
    alpha = getattr(learner, "log_ent_coef", None)
    assert (alpha is None) == (algorithm != "sac")
    learner.learn(64, callback=CriticWarmUp(64))
    assert all(same(before_actor, actor))
    assert not any(same(before_critic, critic))
    assert alpha is None or alpha.item() == 0.0
    assert all(parameter.requires_grad for parameter in actor)
    learner.learn(64, callback=CriticWarmUp(64), reset_num_timesteps=False)
    assert not any(same(before_actor, actor))
    assert alpha is None or alpha.item() != 0.0


class Seen(BaseCallback):
    """What of actor and critic has moved: after the warm-up's part of each update, and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.alone: list[tuple[bool, bool]] = []
        self.after: list[tuple[bool, bool]] = []

    def _init_callback(self) -> None:
        tensors = named_tensors(self.model.policy)
        critic = [t for name, t in tensors.items() if "value_net" in name or "critic.qf" in name]
        self._parts = [list(actor_parameters(self.model.policy)), critic]
        self._start = [copies(part) for part in self._parts]

    def _moved(self) -> tuple[bool, bool]:
        actor, critic = (
            not all(same(*pair)) for pair in zip(self._start, self._parts, strict=True)
        )
        return actor, critic

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.alone.append(self._moved())

    def _on_rollout_start(self) -> None:
        self.after.append(self._moved())

    def _on_training_end(self) -> None:
        self.after.append(self._moved())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("budget", [32, 64, 640])
def test_warm_up_acts_at_every_budget(
    algorithm: str, budget: int, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    """A rollout of PPO has 32 steps here, one of SAC and TD3 8, and an update 4 rounds."""
    rounds: dict[str, Any] = {"n_epochs": 4} if algorithm == "ppo" else {"gradient_steps": 4}
    learner = build(algorithm, counting(4), **rounds)
    seen, share = Seen(), 0.05 * budget
    learner.learn(budget, callback=[CriticWarmUp(share), seen])  # type: ignore[arg-type]
    whole = int(share // (32 if algorithm == "ppo" else 8))  # rollouts of the critic alone
    assert seen.after[whole] == (False, whole > 0)
    assert seen.alone[whole] == (False, True)
    assert seen.after[whole + 1] == (True, True)
    assert getattr(learner, *rounds) == 4
    assert all(parameter.requires_grad for parameter in actor_parameters(learner.policy))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_warm_up_changes_nothing(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learners = [build(algorithm, counting(4)) for _ in range(2)]
    seen = Seen()
    for learner, callback in zip(learners, ([CriticWarmUp(0.0), seen], None), strict=True):
        learner.set_random_seed(0)
        learner.learn(64, callback=callback)
    assert seen.alone[0] == (False, False)
    assert seen.after[1] == (True, True)
    ours, plain = (list(named_tensors(learner.policy).values()) for learner in learners)
    assert all(same(copies(ours), plain))


def test_the_critic_waits_for_the_random_actions(
    build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    """The warm-up is counted from the first update, not from the first action."""
    learner, seen = build("sac", counting(4), learning_starts=32), Seen()
    learner.learn(64, callback=[CriticWarmUp(12.0), seen])
    assert seen.after[4] == (False, False)  # no update after 32 random actions
    assert seen.after[5] == (False, True)
    assert seen.after[6] == (True, True)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_layers_learn_one_by_one_the_last_first(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learner = build(algorithm, counting(4), learning_rate=0.01)
    policy, layers = learner.policy, actor_layers(learner.policy)
    names = {id(tensor): name for name, tensor in named_tensors(policy).items()}
    assert len(layers) == 3
    assert {names[id(one)].split(".")[-2] for one in layers[0]} == {
        "ppo": {"action_net"}, "sac": {"mu", "log_std"}, "td3": {"4"},
    }[algorithm]  # fmt: skip
    critic = [t for n, t in named_tensors(policy).items() if "value_net" in n or "critic.qf" in n]
    before, before_critic = [copies(layer) for layer in layers], copies(critic)
    moved: list[list[bool]] = []

    class Moved(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:  # after the updates that the warm-up makes
            pairs = zip(before, layers, strict=True)
            moved.append([not all(same(*pair)) for pair in pairs])

        _on_training_end = _on_rollout_end

    callbacks = [GradualUnfreezing(160.0), CriticWarmUp(16.0), Moved()]
    learner.learn(192, callback=callbacks)
    assert not any(same(before_critic, critic))
    assert [False, False, False] in moved
    assert [True, False, False] in moved
    assert [True, True, False] in moved
    assert moved[-1] == [True, True, True]
    assert moved == sorted(moved)
    assert all(parameter.requires_grad for layer in layers for parameter in layer)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_frozen_tensors_stay_to_the_last_bit(
    algorithm: str, build: Callable[..., Any], counting: Callable[..., Any]
) -> None:
    learner = build(algorithm, counting(4), learning_rate=0.01)
    learner.learn(32)  # optimizers have momentum, target networks differ from their source
    policy = learner.policy
    names = match(policy, FIRST_LAYERS[algorithm])
    freeze_tensors(policy, names)
    tensors = named_tensors(policy)
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    callbacks = [NormalizerUpdate(), KeepFrozen(names)]
    learner.learn(64, callback=callbacks)  # type: ignore[arg-type]
    moved = {name for name, tensor in tensors.items() if not torch.equal(before[name], tensor)}
    assert moved == set(tensors) - set(names)
