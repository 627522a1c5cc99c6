"""SAC with a delayed actor, normalized critics and returns of several steps."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import configure
from torch import nn

import sim2real.policies
from sim2real.errors import UserError
from sim2real.files import read_yaml
from sim2real.policies.build import build_algorithm
from sim2real.policies.networks import Critic
from sim2real.policies.recipe import load_recipe
from sim2real.simulation.front_ends.vec_env import make_vec_env

ROWS = 32
FOLDER = Path(sim2real.policies.__file__).parent


def learner(**options: Any) -> Any:
    """SAC that has made 40 random steps of 4 worlds, and no update."""
    given = {"net_arch": (8,), "num_envs": 4, "train_freq": 1, "learning_starts": 10_000}
    recipe = load_recipe("sac", None, {**given, "batch_size": ROWS, **options})
    model: Any = build_algorithm(recipe, make_vec_env("cartpole", "randomized", num_envs=4), 0)
    model.learn(160)
    model.set_logger(configure(format_strings=[]))
    return model


def numbers(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: one.clone() for name, one in module.named_parameters()}


def unequal(before: dict[str, torch.Tensor], module: nn.Module) -> bool:
    return any(not torch.equal(before[name], one) for name, one in module.named_parameters())


def test_the_actor_learns_from_every_third_batch() -> None:
    model = learner(policy_delay=3)
    moved = []
    for _ in range(6):
        before, critic = numbers(model.actor), numbers(model.critic)
        temperature = model.log_ent_coef.item()
        model.train(1, ROWS)
        moved.append(unequal(before, model.actor))
        assert unequal(critic, model.critic)
        assert (model.log_ent_coef.item() != temperature) == moved[-1]
    assert moved == [False, False, True] * 2


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_the_loss_of_the_critics(norm: str) -> None:
    """By hand from one batch: with batch normalization both states are of one batch, and the
    target is of the critics themselves."""
    model = learner(policy_delay=2, critic_norm=norm, n_step=3, initial_ent_coef=0.3)
    model.policy.set_training_mode(True)
    drawn = model.replay_buffer.sample(ROWS)
    critic, target = copy.deepcopy(model.critic), copy.deepcopy(model.critic_target)
    torch.manual_seed(5)
    with torch.no_grad():
        actions, log_prob = model.actor.action_log_prob(drawn.next_observations)
        if norm == "batch":
            seen = torch.cat([drawn.observations, drawn.next_observations])
            both = [one[:, 0] for one in critic(seen, torch.cat([drawn.actions, actions]))]
            here, there = [one[:ROWS] for one in both], [one[ROWS:] for one in both]
        else:
            here = [one[:, 0] for one in critic(drawn.observations, drawn.actions)]
            there = [one[:, 0] for one in target(drawn.next_observations, actions)]
        lasts = 1.0 - drawn.dones[:, 0]
        soft = torch.minimum(*there) - 0.3 * log_prob
        aim = drawn.rewards[:, 0] + lasts * drawn.discounts[:, 0] * soft
        expected = 0.5 * sum(float(((one - aim) ** 2).mean()) for one in here)
    losses: dict[str, list[float]] = {"critic_loss": []}
    torch.manual_seed(5)
    model._update_critic(drawn, losses)
    assert losses["critic_loss"] == pytest.approx([expected], rel=1e-5)
    powers = np.log(drawn.discounts[:, 0].numpy()) / np.log(0.99)  # fewer where an episode ends
    np.testing.assert_allclose(powers, np.rint(powers), atol=1e-4)
    assert powers.max() == pytest.approx(3.0, abs=1e-4)


def test_a_subset_of_the_critics_makes_the_target_and_all_of_them_the_actor() -> None:
    """Of constant critics 0, 1, ..., 4 the least of two is 0 in 4 of the 10 pairs, 1 in 3, ..."""
    model = learner(critics=5, critic_subset=2, critic_norm="layer", initial_ent_coef=0.3)
    for critic in (model.critic, model.critic_target):
        for index, network in enumerate(critic.q_networks):
            network[-1].weight.data.zero_()
            network[-1].bias.data.fill_(float(index))
    drawn = model.replay_buffer.sample(ROWS)
    drawn = drawn._replace(rewards=0.0 * drawn.rewards, dones=0.0 * drawn.dones, discounts=None)
    optimizer, found = model.critic.optimizer, []
    optimizer.step = lambda: None
    torch.manual_seed(0)
    for _ in range(200):
        with torch.random.fork_rng():
            _, log_prob = model.actor.action_log_prob(drawn.next_observations)
        losses: Any = {"critic_loss": []}
        model._update_critic(drawn, losses)
        soft = 0.99 * 0.3 * log_prob.detach()
        wanted = [
            0.5 * sum(float((index - 0.99 * least + soft).square().mean()) for index in range(5))
            for least in range(4)
        ]
        found.append(int(np.argmin(np.abs(np.array(wanted) - losses["critic_loss"][0]))))
        assert wanted[found[-1]] == pytest.approx(losses["critic_loss"][0], rel=1e-4)
    shares = np.bincount(found, minlength=4) / 200
    np.testing.assert_allclose(shares, [0.4, 0.3, 0.2, 0.1], atol=0.1)
    with torch.random.fork_rng():
        _, log_prob = model.actor.action_log_prob(drawn.observations)
    losses = {name: [] for name in ("actor_loss", "ent_coef", "ent_coef_loss")}
    model._update_actor(drawn, losses)
    assert losses["actor_loss"][0] == pytest.approx(
        0.3 * float(log_prob.detach().mean()) - 2.0, abs=0.02
    )


def test_a_subset_of_more_critics_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match="critic_subset is at most 2"):
        load_recipe("sac", None, {"critic_subset": 3})


def test_batch_normalized_critics_have_no_target_networks() -> None:
    model = learner(critic_norm="batch")
    model.train(2, ROWS)
    one, other = model.critic.state_dict(), model.critic_target.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in numbers(model.critic))


def test_the_actor_changes_no_statistics_of_the_critics() -> None:
    model = learner(critic_norm="batch")
    before = model.critic.qf0[1].running_mean.clone()
    losses: Any = {name: [] for name in ("actor_loss", "ent_coef", "ent_coef_loss")}
    model._update_actor(model.replay_buffer.sample(ROWS), losses)
    assert torch.equal(before, model.critic.qf0[1].running_mean)
    model.train(1, ROWS)
    assert not torch.equal(before, model.critic.qf0[1].running_mean)


def test_layers_are_normalized_before_their_activation() -> None:
    model = learner(critic_norm="layer", normalize_observations=False)
    critic: Critic = model.critic
    rows = np.random.default_rng(0).normal(size=(7, 6))
    weights = [one.detach().numpy().astype(float) for one in critic.qf1.parameters()]  # type: ignore[union-attr]
    hidden = rows @ weights[0].T + weights[1]
    centered = hidden - hidden.mean(axis=1, keepdims=True)
    normal = centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + 1e-5)
    expected = np.maximum(normal * weights[2] + weights[3], 0.0) @ weights[4].T + weights[5]
    given = torch.tensor(rows, dtype=torch.float32)
    _, value = critic(given[:, :5], given[:, 5:])
    np.testing.assert_allclose(value.detach().numpy(), expected, atol=1e-5)


def test_the_first_temperature() -> None:
    assert learner(initial_ent_coef=0.0095).log_ent_coef.exp().item() == pytest.approx(0.0095)


def variants() -> list[tuple[str, str]]:
    found = read_yaml(FOLDER / "recipes" / "variants.yaml")
    return [(algorithm, name) for algorithm, named in found.items() for name in named]


@pytest.mark.parametrize(("algorithm", "name"), variants())
def test_variants_are_recipes(algorithm: str, name: str) -> None:
    found = read_yaml(FOLDER / "recipes" / "variants.yaml")[algorithm][name]
    recipe = load_recipe(algorithm, "hopper", {"variant": name, "gamma": 0.5})
    as_written = recipe.model_dump(mode="json")
    assert {**found, "gamma": 0.5}.items() <= as_written.items()


def test_an_unknown_variant() -> None:
    with pytest.raises(UserError, match="unknown sac variant 'crosq'; did you mean 'crossq'"):
        load_recipe("sac", "hopper", {"variant": "crosq"})
    with pytest.raises(UserError, match="unknown ppo variant 'crossq'; allowed: none"):
        load_recipe("ppo", "hopper", {"variant": "crossq"})
