"""What is done to a network, as data."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from sim2real.errors import UserError
from sim2real.policies import ALGORITHMS
from sim2real.policies.anatomy import anatomy, named_tensors, optimizer_owners
from sim2real.policies.build import build_algorithm
from sim2real.policies.modifiers import (
    Frozen,
    Head,
    InputLayer,
    LowRank,
    Modifier,
    Residual,
    add_structure_of,
    apply_modifiers,
    merge,
    modifiers_of,
    parse_modifier,
)
from sim2real.policies.recipe import load_recipe
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.gaussians import actor_gaussian

ACTOR = {"ppo": "mlp_extractor.policy_net.0", "sac": "actor.latent_pi.0", "td3": "actor.mu.0"}
SEEN = np.random.default_rng(0).normal(size=(9, 5))


def build(algorithm: str) -> Any:
    recipe = load_recipe(algorithm, None, {"net_arch": (8, 7), "batch_size": 16})
    return build_algorithm(recipe, make_vec_env("cartpole", num_envs=2), 0).policy


def actions(policy: Any) -> np.ndarray:
    policy.set_training_mode(False)
    given: np.ndarray = policy.predict(SEEN, deterministic=True)[0]
    return given


def perturb(policy: Any) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in named_tensors(policy).items():
            if name.endswith(("lora_B", "input_weight", "input_bias")) or ".residual." in name:
                tensor.normal_()


PROGRESSIVE = Residual(net_arch=(4, 3), lateral=True)
ADDED: list[Modifier] = [
    LowRank(rank=1, scale=0.5),
    InputLayer(),
    Residual(net_arch=(4,)),
    PROGRESSIVE,
]


@pytest.mark.parametrize("modifier", ADDED, ids=lambda one: one.kind)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_new_changes_no_action_until_it_is_trained_and_merges(
    algorithm: str, modifier: Modifier
) -> None:
    policy = build(algorithm)
    before, names = actions(policy), set(named_tensors(policy))
    apply_modifiers(policy, [modifier])
    assert np.array_equal(actions(policy), before)
    assert names < set(named_tensors(policy))
    perturb(policy)
    changed = actions(policy)
    assert not np.allclose(changed, before)
    merged = merge(policy)
    assert np.array_equal(actions(merged), changed)
    assert np.array_equal(actions(policy), changed)  # a copy was merged
    stays = isinstance(modifier, Residual)  # beside plain layers
    assert (set(named_tensors(merged)) == names) == (not stays)
    assert modifiers_of(merged) == ((modifier,) if stays else ())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_residual_policy_is_the_equation(algorithm: str) -> None:
    policy = build(algorithm)
    plain, seen = copy.deepcopy(policy), torch.as_tensor(SEEN)
    apply_modifiers(policy, [Residual(net_arch=(4,))])
    perturb(policy)
    plain.set_training_mode(False)
    policy.set_training_mode(False)
    owner = policy.action_net if algorithm == "ppo" else policy.actor.mu
    added = owner.residual([plain_features(plain, seen)])
    base, whole = (actor_gaussian(one, seen).mean for one in (plain, policy))
    if algorithm == "td3":
        base, whole = base.atanh(), whole.atanh()
    torch.testing.assert_close(whole, base + added, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_lateral_connections_are_the_equation(algorithm: str) -> None:
    """h'_i = s(W'_i h'_i-1 + U_i h_i-1 + b'_i), where h are the layers of the source."""
    policy, seen = build(algorithm), torch.as_tensor(SEEN)
    features = plain_features(policy, seen)
    apply_modifiers(policy, [PROGRESSIVE])
    perturb(policy)
    tensors = named_tensors(policy)
    trunk = ACTOR[algorithm].removesuffix(".0")
    residual = "action_net.residual" if algorithm == "ppo" else "actor.mu.residual"
    squash = torch.tanh if algorithm == "ppo" else torch.relu

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    first = squash(linear(f"{trunk}.0", features))
    second = squash(linear(f"{trunk}.2", first))
    own = squash(linear(f"{residual}.0", features))
    own = squash(linear(f"{residual}.2", torch.cat([own, first], dim=1)))
    expected = linear(f"{residual}.4", torch.cat([own, second], dim=1))
    column = policy.get_submodule(residual)
    torch.testing.assert_close(column([features, first, second]), expected)
    head = {"ppo": "action_net", "sac": "actor.mu", "td3": "actor.mu.4"}[algorithm]
    whole = linear(head, second) + expected
    mean = actor_gaussian(policy, seen).mean
    torch.testing.assert_close(mean, whole.tanh() if algorithm == "td3" else whole)


def plain_features(policy: Any, seen: torch.Tensor) -> torch.Tensor:
    owner = policy if isinstance(policy, ActorCriticPolicy) else policy.actor
    features: torch.Tensor = owner.features_extractor(seen)
    return features


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_input_layer_is_the_equation(algorithm: str) -> None:
    policy, layer = build(algorithm), ACTOR[algorithm]
    apply_modifiers(policy, [InputLayer()])
    perturb(policy)
    tensors = named_tensors(policy)
    weight, bias, inner, offset = (
        tensors[f"{layer}.{n}"].detach() for n in ("weight", "bias", "input_weight", "input_bias")
    )
    x = torch.randn(7, 5)
    merged = policy.get_submodule(layer)(x)
    torch.testing.assert_close(merged, (x @ inner.T + offset) @ weight.T + bias)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_policy_gets_the_residual_of_another(algorithm: str) -> None:
    source, policy = build(algorithm), build(algorithm)
    apply_modifiers(source, [Residual(net_arch=(4,)), LowRank(rank=1)])
    perturb(source)
    add_structure_of(source, policy)
    merged = merge(source)
    policy.load_state_dict(merged.state_dict())
    assert np.array_equal(actions(policy), actions(source))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_merged_weight_is_the_equation(algorithm: str) -> None:
    policy, layer = build(algorithm), ACTOR[algorithm]
    apply_modifiers(policy, [LowRank(layers=(layer,), rank=3, scale=2.0)])
    perturb(policy)
    tensors = named_tensors(policy)
    weight, down, up = (tensors[f"{layer}.{n}"] for n in ("weight", "lora_A", "lora_B"))
    assert (down.shape, up.shape) == ((3, 5), (8, 3))
    expected = weight + 2.0 * torch.einsum("or,ri->oi", up, down)
    torch.testing.assert_close(named_tensors(merge(policy))[f"{layer}.weight"], expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_what_may_learn_is_optimized(algorithm: str) -> None:
    policy = build(algorithm)
    base = tuple(name for name in named_tensors(policy) if "_target" not in name)
    apply_modifiers(policy, [LowRank(rank=1), Frozen(names=base)])
    parts = anatomy(policy)
    expected = {n for n, p in parts.items() if ".lora_" in n and not p.follows}
    learning = {
        id(p)
        for owner in optimizer_owners(policy).values()
        for group in owner.optimizer.param_groups
        for p in group["params"]
    }
    assert {n for n, t in named_tensors(policy).items() if id(t) in learning} == expected
    assert [one.kind for one in modifiers_of(policy)] == ["low_rank", "frozen"]


@pytest.mark.parametrize("added", [LowRank(rank=1), InputLayer(), Residual()])
@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_target_networks_have_the_adapters_of_what_they_follow(
    algorithm: str, added: Modifier
) -> None:
    policy = build(algorithm)
    names = set(named_tensors(policy))
    apply_modifiers(policy, [Head(of="critic"), added])
    tensors, parts = named_tensors(policy), anatomy(policy)
    following = {name: part.follows for name, part in parts.items() if part.follows}
    has_target = algorithm == "td3" or added.kind == "low_rank"  # SAC's actor has none
    assert bool(following.keys() - names) == has_target
    assert all(torch.equal(tensors[name], tensors[of]) for name, of in following.items())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("of", ["actor", "critic", "both"])
def test_a_new_head_is_of_the_network_named(algorithm: str, of: Any) -> None:
    policy = build(algorithm)
    before = {name: tensor.detach().clone() for name, tensor in named_tensors(policy).items()}
    apply_modifiers(policy, [Head(of=of)])
    after, parts = named_tensors(policy), anatomy(policy)
    changed = {n for n in before if n.endswith("weight") and not torch.equal(before[n], after[n])}
    heads = {n for n, p in parts.items() if p.place == "head" and n.endswith("weight")}
    assert changed == {n for n in heads if of in ("both", parts[n].role)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "lowrank"}, "unknown modifier 'lowrank'; did you mean 'low_rank'"),
        ({"rank": 2}, "expected a kind and its options; kinds: frozen, head, input_layer"),
        ({"kind": "low_rank", "rnk": 2}, "unknown key 'rnk'; did you mean 'rank'"),
        ({"kind": "low_rank", "rank": 0}, "rank: must be at least 1"),
        ({"kind": "low_rank", "rank": 1, "layers": ["action_nett"]}, "did you mean 'action_net'"),
        ({"kind": "low_rank", "rank": 9, "layers": ["action_net"]}, "rank 9 .*allowed: 1 to 1"),
        ({"kind": "low_rank", "rank": 9}, "rank 9 does not fit layer .*; allowed: 1 to"),
        ({"kind": "frozen", "names": ["action_nett.*"]}, "nearest: action_net"),
        ({"kind": "residual", "net_arch": [0]}, "net_arch.0: must be at least 1"),
        (
            {"kind": "residual", "net_arch": [4], "lateral": True},
            "net_arch has 1 layers, the actor 2; lateral connections need as many",
        ),
        ({"kind": "head", "of": "actr"}, "of: must be 'actor', 'critic' or 'both'"),
    ],
)
def test_bad_modifiers(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        apply_modifiers(build("ppo"), [parse_modifier(data)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (LowRank(rank=1), LowRank(rank=1), "has an adapter already; merge it first"),
        (LowRank(rank=1), InputLayer(), "has an adapter already; merge it first"),
        (InputLayer(), LowRank(rank=1), "has an adapter already; merge it first"),
        (LowRank(rank=1), Residual(), "action_net has an adapter; merge it first"),
        (Residual(), Residual(), "has a residual policy already; allowed: one"),
        (Residual(), Head(), "action_net is no plain layer: a residual policy is added to it"),
    ],
)
def test_modifiers_that_exclude_each_other(first: Modifier, second: Modifier, message: str) -> None:
    policy = build("ppo")
    apply_modifiers(policy, [first])
    with pytest.raises(UserError, match=message):
        apply_modifiers(policy, [second])
