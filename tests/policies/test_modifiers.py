"""What is done to a network, as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sim2real.errors import UserError
from sim2real.policies import ALGORITHMS
from sim2real.policies.anatomy import anatomy, named_tensors, optimizer_owners
from sim2real.policies.build import build_algorithm
from sim2real.policies.modifiers import (
    Frozen,
    Head,
    LowRank,
    apply_modifiers,
    merge,
    modifiers_of,
    parse_modifier,
)
from sim2real.policies.recipe import load_recipe
from sim2real.simulation.front_ends.vec_env import make_vec_env

ACTOR = {"ppo": "mlp_extractor.policy_net.0", "sac": "actor.latent_pi.0", "td3": "actor.mu.0"}


def build(algorithm: str) -> Any:
    recipe = load_recipe(algorithm, None, {"net_arch": (8, 7), "batch_size": 16})
    return build_algorithm(recipe, make_vec_env("cartpole", num_envs=2), 0).policy


def actions(policy: Any) -> np.ndarray:
    policy.set_training_mode(False)
    seen = np.random.default_rng(0).normal(size=(9, 5))
    given: np.ndarray = policy.predict(seen, deterministic=True)[0]
    return given


def perturb(policy: Any) -> None:
    with torch.no_grad():
        for name, tensor in named_tensors(policy).items():
            if name.endswith("lora_B"):
                tensor.normal_()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_new_adapter_changes_no_action_and_a_trained_one_merges(algorithm: str) -> None:
    policy = build(algorithm)
    before, names = actions(policy), set(named_tensors(policy))
    apply_modifiers(policy, [LowRank(rank=1, scale=0.5)])
    assert np.array_equal(actions(policy), before)
    perturb(policy)
    changed = actions(policy)
    assert not np.allclose(changed, before)
    merged = merge(policy)
    assert set(named_tensors(merged)) == names
    assert np.array_equal(actions(merged), changed)
    assert modifiers_of(merged) == ()
    assert np.array_equal(actions(policy), changed)  # a copy was merged


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


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_target_networks_have_the_adapters_of_what_they_follow(algorithm: str) -> None:
    policy = build(algorithm)
    apply_modifiers(policy, [LowRank(rank=1), Head(of="critic")])
    tensors, parts = named_tensors(policy), anatomy(policy)
    following = {name: part.follows for name, part in parts.items() if part.follows}
    assert any(name.endswith("lora_A") for name in following)
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
        ({"rank": 2}, "expected a kind and its options; kinds: frozen, head, low_rank"),
        ({"kind": "low_rank", "rnk": 2}, "unknown key 'rnk'; did you mean 'rank'"),
        ({"kind": "low_rank", "rank": 0}, "rank: must be at least 1"),
        ({"kind": "low_rank", "rank": 1, "layers": ["action_nett"]}, "did you mean 'action_net'"),
        ({"kind": "low_rank", "rank": 9, "layers": ["action_net"]}, "rank 9 .*allowed: 1 to 1"),
        ({"kind": "low_rank", "rank": 9}, "rank 9 does not fit layer .*; allowed: 1 to"),
        ({"kind": "frozen", "names": ["action_nett.*"]}, "nearest: action_net"),
        ({"kind": "head", "of": "actr"}, "of: must be 'actor', 'critic' or 'both'"),
    ],
)
def test_bad_modifiers(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        apply_modifiers(build("ppo"), [parse_modifier(data)])
    assert "\n" not in str(caught.value)


def test_a_layer_has_one_adapter() -> None:
    policy = build("ppo")
    apply_modifiers(policy, [LowRank(rank=1)])
    with pytest.raises(UserError, match="has an adapter already; merge it first"):
        apply_modifiers(policy, [LowRank(rank=1)])
