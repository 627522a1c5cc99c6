from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sim2real.errors import UserError
from sim2real.policies import ALGORITHMS
from sim2real.policies.build import build_algorithm, build_offline
from sim2real.policies.recipe import load_recipe, parse_recipe
from sim2real.registry import task_names

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,))
ACTIONS = spaces.Box(-1.0, 1.0, (2,))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("task", [*task_names(), "my_robot"])
def test_every_shipped_recipe_is_valid_and_survives_its_file(algorithm: str, task: str) -> None:
    recipe = load_recipe(algorithm, task)
    assert recipe.algorithm == algorithm
    assert parse_recipe(algorithm, recipe.model_dump(mode="json")) == recipe


def test_overrides_win() -> None:
    options = {"learning_rate": "1e-4", "net_arch": "32x16", "lr_schedule": "linear"}
    recipe = load_recipe("ppo", "hopper", options)
    assert recipe.net_arch == (32, 16)
    assert recipe.learning_rate_at(1.0) == 1e-4
    assert recipe.learning_rate_at(0.25) == 2.5e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lerning_rate": 1.0}, "unknown ppo option 'lerning_rate'; did you mean 'learning_rate'?"),
        ({"learning_rate": -1.0}, "learning_rate: .* greater than 0, got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate: .* finite number"),
        ({"net_arch": [64, 0]}, r"net_arch\.1: .* at least 1, got 0"),
        ({"net_arch": "x".join(["4"] * 101)}, "net_arch: at most 100 layers, got 101"),
        ({"net_arch": "６４x６４"}, "net_arch: layers are sizes such as 64x64"),
        ({"activation": "sin"}, "activation: .*'tanh', 'relu' or 'elu', got 'sin'"),
        ({"encoder": "lstm"}, "encoder: .*'stacked', 'conv' or 'gru', got 'lstm'"),
        ({"encoder": "conv"}, "encoder conv needs a history of at least 2"),
        ({"encoder": "gru"}, "encoder gru needs a history of at least 2"),
        ({"context_encoder": [8]}, "context_encoder needs privileged_actor=true and at least one"),
        (
            {"context_encoder": [], "privileged_actor": True},
            "context_encoder needs privileged_actor=true and at least one layer",
        ),
        (
            {"context_encoder": [8], "privileged_actor": True, "encoder": "conv", "history": 2},
            "context_encoder is for encoder stacked",
        ),
        ({"batch_size": 1}, "batch_size: .* at least 2"),
        ({"batch_size": 10**9}, "batch_size: .* at most 1000000, got 1000000000"),
        ({"n_epochs": 10**9}, "n_epochs: .* at most 100000, got 1000000000"),
    ],
)
def test_bad_options_are_reported_on_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        load_recipe("ppo", "hopper", options)
    assert "\n" not in str(raised.value)


def test_unknown_algorithm() -> None:
    with pytest.raises(UserError, match="unknown algorithm 'pppo'; did you mean 'ppo'"):
        load_recipe("pppo")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_recipe_reaches_the_algorithm(algorithm: str) -> None:
    recipe = load_recipe(algorithm, None, {"net_arch": [5], "critic_net_arch": [7, 7]})
    built: Any = build_offline(recipe, OBSERVATIONS, ACTIONS)
    shapes = {name: tuple(one.shape) for name, one in built.policy.named_parameters()}
    first = {"ppo": "mlp_extractor.policy_net.0", "sac": "actor.latent_pi.0", "td3": "actor.mu.0"}
    assert shapes[f"{first[algorithm]}.weight"] == (5, 3)
    critic = "mlp_extractor.value_net" if algorithm == "ppo" else "critic.qf0"
    assert shapes[f"{critic}.2.weight"] == (7, 7)
    assert built.gamma == recipe.gamma
    assert built.n_envs == recipe.num_envs
    optimizer = built.policy.optimizer if algorithm == "ppo" else built.actor.optimizer
    assert optimizer.defaults["fused"]
    assert optimizer.param_groups[0]["lr"] == recipe.learning_rate


def test_building_offline_draws_nothing() -> None:
    before = torch.random.get_rng_state()
    build_offline(load_recipe("sac"), OBSERVATIONS, ACTIONS)
    assert torch.equal(before, torch.random.get_rng_state())


def test_other_spaces_are_refused() -> None:
    with pytest.raises(UserError, match=r"the action space is Discrete\(3\); allowed: a Box"):
        build_offline(load_recipe("ppo"), OBSERVATIONS, spaces.Discrete(3))
    with pytest.raises(UserError, match="is not bounded"):
        build_offline(load_recipe("sac"), OBSERVATIONS, spaces.Box(-np.inf, np.inf, (1,)))


def test_what_is_encoded_must_be_named(toy: Any) -> None:
    recipe = load_recipe("ppo", None, {"encoder": "conv", "history": 2, "num_envs": 8})
    with pytest.raises(UserError, match="an encoder needs a simulation with observation terms"):
        build_algorithm(recipe, toy.ToyVecEnv(8, 0), 0)


def test_reward_scale_is_seen_by_the_learner_only(toy: Any) -> None:
    def first_rewards(scale: float) -> tuple[np.ndarray, list[Any]]:
        recipe = load_recipe("ppo", None, {"reward_scale": scale, "num_envs": 8})
        env = build_algorithm(recipe, toy.ToyVecEnv(8, 0), 0).env
        assert isinstance(env, VecEnv)
        env.reset()
        _, rewards, _, infos = env.step(np.zeros((8, 1), np.float32))
        return rewards, [info.get("episode") for info in infos]

    plain, scaled = first_rewards(1.0), first_rewards(0.5)
    np.testing.assert_array_equal(scaled[0], 0.5 * plain[0])
    assert scaled[1] == plain[1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shape", [(7,), (2, 5), (2, 1, 3), ()])
def test_observations_of_another_shape_are_refused(algorithm: str, shape: tuple[int, ...]) -> None:
    recipe = load_recipe(algorithm, "cartpole")
    policy = build_offline(recipe, OBSERVATIONS, ACTIONS).policy
    assert policy.predict(np.zeros((2, 3)))[0].shape == (2, 2)
    with pytest.raises(UserError, match=rf"shape {re.escape(str(shape))}; allowed: \(3,\) or"):
        policy.predict(np.zeros(shape))


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_the_first_weights_do_not_depend_on_the_number_of_threads(algorithm: str) -> None:
    env = DummyVecEnv([lambda: gym.make("Pendulum-v1")])
    recipe = parse_recipe(algorithm, {"net_arch": [128, 128]})
    threads = torch.get_num_threads()
    try:
        built = []
        for count in (1, 2):
            torch.set_num_threads(count)
            built.append(build_algorithm(recipe, env, seed=0).policy.state_dict())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(built[0][name], built[1][name]) for name in built[0])
