from __future__ import annotations

from typing import Any

import pytest
import torch

from sim2real.errors import UserError
from sim2real.policies.anatomy import anatomy, named_tensors, optimizer_owners
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.policies.tensors import copy_tensors, freeze_tensors, match, scale_learning_rates
from sim2real.simulation.front_ends.vec_env import make_vec_env

SMALL: dict[str, Any] = {"net_arch": (8, 8), "batch_size": 16}


def build(algorithm: str, seed: int = 0, **options: Any) -> Any:
    recipe = load_recipe(algorithm, None, {**SMALL, **options})
    return build_algorithm(recipe, make_vec_env("cartpole", num_envs=2), seed)


FIRST_LAYERS = {
    "ppo": ["mlp_extractor.*_net.0.*", "*running_*"],
    "sac": ["actor.latent_pi.0.*", "critic.qf*.0.*", "*running_*"],
    "td3": ["actor.mu.0.*", "critic.qf*.0.*", "*running_*"],
}


def test_a_tensor_is_found_under_all_its_names() -> None:
    policy = build("ppo").policy
    found = match(policy, ["features_extractor.normalizer.running_mean"])
    assert found == (
        "features_extractor.normalizer.running_mean",
        "pi_features_extractor.normalizer.running_mean",
        "vf_features_extractor.normalizer.running_mean",
    )


def test_target_networks_follow_their_source() -> None:
    policy = build("td3").policy
    assert match(policy, ["actor.mu.0.weight", "critic.qf1.0.bias"]) == (
        "actor.mu.0.weight",
        "actor_target.mu.0.weight",
        "critic.qf1.0.bias",
        "critic_target.qf1.0.bias",
    )


def places(policy: Any, names: Any) -> set[tuple[str, str]]:
    parts = anatomy(policy)
    return {(parts[name].role, parts[name].place) for name in names}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("actor", {("actor", "trunk"), ("actor", "head")}),
        ("critic", {("critic", "trunk"), ("critic", "head")}),
        ("features", {("actor", "trunk"), ("actor", "statistics")}),
        (
            "all_but_head",
            {
                ("actor", "trunk"),
                ("critic", "trunk"),
                ("actor", "statistics"),
                ("critic", "statistics"),
            },
        ),
        ("head", {("actor", "head"), ("critic", "head")}),
        ("statistics", {("actor", "statistics"), ("critic", "statistics")}),
    ],
)
@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_groups(algorithm: str, group: str, expected: set[tuple[str, str]]) -> None:
    policy = build(algorithm).policy
    if algorithm == "ppo":  # one normalizer, and noise that does not depend on the observation
        noise = {("actor", "noise")} if group == "actor" else set()
        seen = any(place == "statistics" for _, place in expected)
        statistics = {("shared", "statistics")} if seen else set()
        expected = {one for one in expected if one[1] != "statistics"} | noise | statistics
    names = match(policy, [group])
    assert places(policy, names) == expected
    others = set(named_tensors(policy)) - set(names)
    assert not places(policy, others) & expected  # whole groups


def test_the_first_layers() -> None:
    policy = build("ppo").policy
    found = {name for name in match(policy, ["first_layers"]) if "features" not in name}
    names = ("mlp_extractor.policy_net.0", "mlp_extractor.value_net.0")
    assert found == {f"{name}.{last}" for name in names for last in ("weight", "bias")}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("actr", "no group or tensor is named like 'actr'; nearest: actor"),
        ("all_but_heads", "nearest: all_but_head"),
        ("noise", "the policy has no tensor of the group 'noise'"),
    ],
)
def test_groups_that_there_are_not(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        match(build("sac").policy, [pattern])


def test_a_pattern_that_matches_nothing() -> None:
    policy = build("ppo").policy
    message = r"is named like 'mlp_extractor.policy_nets.0\*'; nearest: mlp_extr.*policy"
    with pytest.raises(UserError, match=message):
        match(policy, ["mlp_extractor.policy_nets.0*"])


def test_everything_frozen_is_refused() -> None:
    policy = build("sac").policy
    with pytest.raises(UserError, match="nothing is left to learn in the actor"):
        freeze_tensors(policy, match(policy, ["actor.*"]))


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_frozen_tensors_leave_the_optimizer(algorithm: str) -> None:
    learner = build(algorithm, learning_rate=0.01)
    policy = learner.policy
    options = policy.optimizer.defaults if algorithm == "ppo" else policy.actor.optimizer.defaults
    names = match(policy, FIRST_LAYERS[algorithm])
    freeze_tensors(policy, names)
    tensors = named_tensors(policy)
    frozen = {id(tensors[name]) for name in names}
    for owner in optimizer_owners(policy).values():
        optimized = {id(p) for group in owner.optimizer.param_groups for p in group["params"]}
        assert optimized
        assert not optimized & frozen
        assert owner.optimizer.defaults == options
    assert not any(tensors[name].requires_grad for name in names)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_learning_rates_by_group(algorithm: str) -> None:
    """The first step of Adam moves each weight by the learning rate, whatever its gradient."""
    policy = build(algorithm).policy
    scale_learning_rates(policy, {"all_but_head": 0.5, "*.0.bias": 0.0625})
    parts, tensors = anatomy(policy), named_tensors(policy)
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    for owner in optimizer_owners(policy).values():
        for parameter in owner.parameters():
            parameter.grad = torch.full_like(parameter, 3.0)
        for group in owner.optimizer.param_groups:
            group["lr"] = 0.125  # as SB3 does before each update
        owner.optimizer.step()
        assert {group["lr"] for group in owner.optimizer.param_groups} == {0.125}
    for name, part in parts.items():
        if part.follows or part.place == "statistics":
            continue
        factor = 0.0625 if name.endswith(".0.bias") else 0.5 if part.place == "trunk" else 1.0
        moved = before[name] - tensors[name]
        torch.testing.assert_close(moved, torch.full_like(moved, 0.125 * factor), rtol=1e-4, atol=0)


def test_a_learning_rate_of_nothing_is_refused() -> None:
    policy = build("ppo").policy
    with pytest.raises(UserError, match="learning rate of 'statistics': nothing that it"):
        scale_learning_rates(policy, {"statistics": 0.5})


def test_copy_takes_the_named_tensors_alone() -> None:
    source = build("sac", seed=1).policy
    target = build("sac", seed=2).policy
    before = {name: tensor.clone() for name, tensor in named_tensors(target).items()}
    copy_tensors(source, target, ["actor.mu.weight"])
    for name, tensor in named_tensors(target).items():
        changed = not torch.equal(before[name], tensor)
        assert changed == (name == "actor.mu.weight")
    assert torch.equal(target.actor.mu.weight, source.actor.mu.weight)
