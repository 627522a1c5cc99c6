from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sim2real.policies.anatomy import Part, actor_parameters, anatomy, named_tensors
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.simulation.front_ends.vec_env import make_vec_env

ALGORITHMS = ["ppo", "sac", "td3"]
CASES = [(algorithm, privileged) for algorithm in ALGORITHMS for privileged in (False, True)]


def policy_of(algorithm: str, privileged: bool = False, **options: Any) -> Any:
    small = {"net_arch": (8, 7), "batch_size": 16, "privileged": privileged, **options}
    env = make_vec_env("cartpole", "randomized", num_envs=2, privileged=privileged)
    return build_algorithm(load_recipe(algorithm, None, small), env, 0).policy


EXPECTED = {
    ("ppo", "mlp_extractor.policy_net.0.weight"): Part("actor", "trunk", True),
    ("ppo", "mlp_extractor.policy_net.2.bias"): Part("actor", "trunk"),
    ("ppo", "action_net.weight"): Part("actor", "head"),
    ("ppo", "log_std"): Part("actor", "noise"),
    ("ppo", "mlp_extractor.value_net.0.bias"): Part("critic", "trunk", True),
    ("ppo", "value_net.bias"): Part("critic", "head"),
    ("ppo", "features_extractor.normalizer.running_var"): Part("shared", "statistics"),
    ("sac", "actor.latent_pi.0.weight"): Part("actor", "trunk", True),
    ("sac", "actor.mu.weight"): Part("actor", "head"),
    ("sac", "actor.log_std.bias"): Part("actor", "head"),
    ("sac", "actor.features_extractor.normalizer.count"): Part("actor", "statistics"),
    ("sac", "critic.qf1.2.weight"): Part("critic", "trunk"),
    ("sac", "critic.qf1.4.weight"): Part("critic", "head"),
    ("sac", "critic_target.qf0.0.bias"): Part("critic", "trunk", True, "critic.qf0.0.bias"),
    ("td3", "actor.mu.0.weight"): Part("actor", "trunk", True),
    ("td3", "actor.mu.4.bias"): Part("actor", "head"),
    ("td3", "actor_target.mu.4.bias"): Part("actor", "head", False, "actor.mu.4.bias"),
}


@pytest.mark.parametrize(("algorithm", "name"), EXPECTED)
def test_the_part_of_a_tensor(algorithm: str, name: str) -> None:
    assert anatomy(policy_of(algorithm))[name] == EXPECTED[algorithm, name]


@pytest.mark.parametrize(("algorithm", "privileged"), CASES)
def test_the_layers_that_read_the_observation_have_its_columns(
    algorithm: str, privileged: bool
) -> None:
    policy = policy_of(algorithm, privileged)
    tensors, columns = named_tensors(policy), policy.observation_space.shape[0]
    read = 0
    for name, part in anatomy(policy).items():
        if part.place == "statistics" or not part.reads_input or tensors[name].ndim < 2:
            continue
        actions = 1 if part.role == "critic" and algorithm != "ppo" else 0
        seen = columns if part.role == "critic" or not privileged else 5
        assert tensors[name].shape[1] == seen + actions, name
        read += 1
    assert read == {"ppo": 2, "sac": 5, "td3": 6}[algorithm]


@pytest.mark.parametrize(("algorithm", "privileged"), CASES)
def test_statistics_are_the_buffers_and_targets_are_copies(
    algorithm: str, privileged: bool
) -> None:
    policy = policy_of(algorithm, privileged)
    tensors, parts = named_tensors(policy), anatomy(policy)
    buffers = {name for name, _ in policy.named_buffers(remove_duplicate=False)}
    assert {name for name, part in parts.items() if part.place == "statistics"} == buffers
    shared = {name for name, part in parts.items() if part.role == "shared"}
    assert bool(shared) == (algorithm == "ppo" and not privileged)
    follow = {name: part.follows for name, part in parts.items() if part.follows}
    assert set(follow) == {name for name in tensors if "_target." in name}
    assert all(torch.equal(tensors[name], tensors[online]) for name, online in follow.items())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_layers_of_an_encoder(algorithm: str) -> None:
    env = make_vec_env("cartpole", "randomized", num_envs=2, history=2)
    options = {"encoder": "conv", "history": 2, "net_arch": (), "batch_size": 16}
    policy = build_algorithm(load_recipe(algorithm, None, options), env, 0).policy
    parts = anatomy(policy)
    of = {"ppo": ("", "vf_"), "sac": ("actor.", "critic."), "td3": ("actor.", "critic.")}[algorithm]
    for role, prefix in zip(("actor", "critic"), of, strict=True):
        name = f"{prefix}features_extractor.encoder"
        assert parts[f"{name}.0.weight"] == Part(role, "trunk", True)  # type: ignore[arg-type]
        assert parts[f"{name}.3.bias"] == Part(role, "trunk")  # type: ignore[arg-type]
    heads = {part.reads_input for part in parts.values() if part.place == "head"}
    assert heads == {True}  # what is shown at present goes past the encoder
    assert not any(part.role == "shared" for part in parts.values())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_network_without_hidden_layers_has_a_head_that_reads_the_observation(
    algorithm: str,
) -> None:
    parts = anatomy(policy_of(algorithm, net_arch=()))
    weights = [part for name, part in parts.items() if name.endswith("weight")]
    assert {(part.place, part.reads_input) for part in weights} == {("head", True)}


@pytest.mark.parametrize(("algorithm", "privileged"), CASES)
def test_actor_parameters_are_those_that_decide_the_action(
    algorithm: str, privileged: bool
) -> None:
    policy = policy_of(algorithm, privileged)
    seen = np.ones((1, policy.observation_space.shape[0]))

    def action() -> Any:
        torch.manual_seed(1)  # a small draw: clipped actions would not change
        return policy.predict(seen, deterministic=False)[0]

    actor = {id(parameter) for parameter in actor_parameters(policy)}
    for name, parameter in policy.named_parameters():
        before, value = action(), parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(0.05)
            changed = bool((action() != before).any())
            parameter.copy_(value)
        assert changed == (id(parameter) in actor), name
