from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.policies.asymmetric import (
    Asymmetric,
    AsymmetricActorCriticPolicy,
    AsymmetricSACPolicy,
    AsymmetricTD3Policy,
    policy_terms,
)
from sim2real.policies.normalizer import normalizers, update_normalizers
from sim2real.simulation.front_ends.vec_env import SimVecEnv, make_vec_env
from sim2real.task import ObservationTerm

DRAWN = Domain(
    name="drawn",
    dynamics=[{"field": "body_mass", "of": "pole", "scale": {"uniform": [0.5, 2.0]}}],  # type: ignore[list-item]
)
KINDS: dict[str, tuple[type[BaseAlgorithm], type[Asymmetric], dict[str, Any]]] = {
    "ppo": (PPO, AsymmetricActorCriticPolicy, {"n_steps": 16, "batch_size": 32}),
    "sac": (SAC, AsymmetricSACPolicy, {"learning_starts": 20, "batch_size": 16}),
    "td3": (TD3, AsymmetricTD3Policy, {"learning_starts": 20, "batch_size": 16}),
}


@pytest.fixture(scope="module")
def env() -> SimVecEnv:
    return make_vec_env("cartpole", DRAWN, 4, privileged=True)


def make(kind: str, env: SimVecEnv, **options: Any) -> Any:
    algorithm, policy, settings = KINDS[kind]
    terms = {"observation_terms": env.simulation.observation_terms, "net_arch": [8, 8]}
    made: Any = algorithm
    return made(policy, env, seed=0, policy_kwargs=terms | options, device="cpu", **settings)


def size(env: SimVecEnv) -> int:
    return sum(term.size for term in env.simulation.policy_terms)


def observations(env: SimVecEnv) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for the policy, another truth and another context."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(6, *env.observation_space.shape))
    second = first.copy()
    second[:, size(env) :] += rng.normal(size=(6, first.shape[1] - size(env)))
    return torch.tensor(first), torch.tensor(second)


def act(policy: Any, seen: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = policy._predict(seen, deterministic=True)
    return found


def value(policy: Any, seen: torch.Tensor) -> torch.Tensor:
    if isinstance(policy, AsymmetricActorCriticPolicy):
        return policy.predict_values(seen)
    return torch.cat(policy.critic(seen.float(), torch.zeros(len(seen), 1)), dim=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_actor_is_blind_to_what_is_privileged_and_the_critic_is_not(
    kind: str, env: SimVecEnv
) -> None:
    policy = make(kind, env).policy
    update_normalizers(policy, torch.randn(50, env.observation_space.shape[0]) * 3.0)
    one, other = observations(env)
    assert torch.equal(act(policy, one), act(policy, other))
    assert not torch.isclose(value(policy, one), value(policy, other)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str, env: SimVecEnv) -> None:
    policy = make(kind, env).policy
    seen = observations(env)[0].float().requires_grad_()
    (gradient,) = torch.autograd.grad(act(policy, seen).sum(), seen)
    assert (gradient[:, : size(env)] != 0).any()
    assert (gradient[:, size(env) :] == 0).all()
    (gradient,) = torch.autograd.grad(value(policy, seen).sum(), seen)
    assert (gradient != 0).any(dim=0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_training_moves_both_networks(kind: str, env: SimVecEnv) -> None:
    model = make(kind, env)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    model.learn(128)
    moved = {
        name
        for name, tensor in model.policy.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert {name for name in before if name.endswith(".0.weight")} <= moved
    assert all(torch.isfinite(tensor).all() for tensor in model.policy.state_dict().values())


@pytest.mark.parametrize("kind", KINDS)
def test_predict_takes_whole_observations_and_the_policys_columns(
    kind: str, env: SimVecEnv
) -> None:
    policy = make(kind, env).policy
    whole = observations(env)[0].numpy()
    for deterministic in (True, False):
        torch.manual_seed(0)
        one, _ = policy.predict(whole, deterministic=deterministic)
        torch.manual_seed(0)
        other, _ = policy.predict(whole[:, : size(env)], deterministic=deterministic)
        np.testing.assert_array_equal(one, other)
    single, _ = policy.predict(whole[0, : size(env)], deterministic=True)
    assert single.shape == env.action_space.shape
    np.testing.assert_allclose(single, policy.predict(whole, deterministic=True)[0][0], rtol=1e-5)
    with pytest.raises(ValueError, match="shape"):
        policy.predict(whole[:, :-1])


@pytest.mark.parametrize("kind", KINDS)
def test_each_network_has_statistics_of_what_it_sees(kind: str, env: SimVecEnv) -> None:
    policy = make(kind, env).policy
    seen = torch.arange(12.0)[:, None] * torch.ones(env.observation_space.shape[0])
    update_normalizers(policy, seen)
    sizes = {len(one.running_mean) for one in normalizers(policy)}
    assert sizes == {size(env), env.observation_space.shape[0]}
    assert all(torch.all(one.running_mean == 5.5) for one in normalizers(policy))
    assert not normalizers(make(kind, env, normalize=False).policy)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_evaluated_in_any_domain(kind: str, env: SimVecEnv) -> None:
    policy = make(kind, env).policy
    rows = evaluate(policy, "cartpole", [DRAWN, "nominal", "hard"], episodes=2)
    assert [row.domain for row in rows] == ["drawn"] * 2 + ["nominal"] * 2 + ["hard"] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_acts_on_everything_and_only_where_it_is_known(kind: str, env: SimVecEnv) -> None:
    policy = make(kind, env, privileged_actor=True).policy
    one, other = observations(env)
    assert not torch.isclose(act(policy, one), act(policy, other), atol=0).all()
    assert len(evaluate(policy, "cartpole", DRAWN, episodes=2)) == 2
    with pytest.raises(UserError, match=r"differ from them: context\[body_mass:pole\]"):
        evaluate(policy, "cartpole", "nominal", episodes=2)
    with pytest.raises(ValueError, match="shape"):
        policy.predict(one.numpy()[:, : size(env)])


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_is_made_of_makes_it_again(kind: str, env: SimVecEnv) -> None:
    policy = make(kind, env, privileged_actor=True).policy
    again = type(policy)(**policy._get_constructor_parameters())
    again.load_state_dict(policy.state_dict())
    seen = observations(env)[0]
    assert torch.equal(act(policy, seen), act(again, seen))
    assert again.acting_terms == policy.observation_terms


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ((ObservationTerm("x", 3),), "make the environment with privileged=True"),
        (
            (ObservationTerm("p", 2, group="privileged"), ObservationTerm("x", 3)),
            "the policy's terms come first",
        ),
        ((ObservationTerm("p", 5, group="privileged"),), "the policy's terms come first"),
    ],
)
def test_terms_that_do_not_fit(terms: tuple[ObservationTerm, ...], message: str) -> None:
    seen, action = spaces.Box(-1, 1, (5,)), spaces.Box(-1, 1, (1,))
    with pytest.raises(UserError, match=message):
        AsymmetricSACPolicy(seen, action, lambda _: 0.0, observation_terms=terms)


def test_policy_terms() -> None:
    terms = (ObservationTerm("x", 3), ObservationTerm("p", 2, group="privileged"))
    assert policy_terms(terms) == terms[:1]
    assert dataclasses.replace(terms[1], columns=("a", "b")).labels == ("p[a]", "p[b]")
    assert terms[1].labels == ("p[0]", "p[1]")
