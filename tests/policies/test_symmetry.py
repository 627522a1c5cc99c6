"""Updates of PPO that use a mirror: linear policies of a cartpole have closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from sim2real.envs.cartpole import Cartpole
from sim2real.errors import UserError
from sim2real.mirror import Mirror, Reflection
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe, parse_recipe
from sim2real.policies.symmetry import mirroring_of
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import ObservationTerm

LINEAR = {"net_arch": [], "normalize_observations": False, "num_envs": 16, "n_steps": 16}
COSINE = 1
"""The column that the mirror of a cartpole leaves as it is."""
ACTIONS = spaces.Box(-1.0, 1.0, (1,))


def made(**options: Any) -> Any:
    recipe = load_recipe("ppo", None, {**LINEAR, "batch_size": 64, **options})
    return build_algorithm(recipe, make_vec_env("cartpole", "nominal", recipe.num_envs), seed=0)


def linear(algorithm: Any, bias: float = 0.0, cosine: float = 0.0) -> Any:
    """The layer of the mean action; what is not odd in the mirror is `bias` and `cosine`."""
    layer = algorithm.policy.action_net
    with torch.no_grad():
        layer.bias.fill_(bias)
        layer.weight[0, COSINE] = cosine
    return layer


def test_a_symmetric_policy_stays_symmetric_where_rollouts_are_doubled() -> None:
    """The gradients of what is not odd cancel; the first step of Adam is the learning rate."""
    moved = []
    for options in ({"symmetry": "augment"}, {}):
        algorithm = made(batch_size=256, n_epochs=1, learning_rate=0.01, **options)
        layer = linear(algorithm)
        before = layer.weight.detach().clone()
        algorithm.learn(256)
        weights = (layer.weight.detach() - before)[0].tolist()
        moved.append([layer.bias.item(), weights.pop(COSINE), *weights])
    kept, free = np.abs(moved)
    assert (kept[:2] < 1e-3).all()
    assert (kept[2:] > 5e-3).all()
    assert (free > 5e-3).all()


def test_a_doubled_minibatch_is_followed_by_its_mirror_image() -> None:
    algorithm = made(symmetry="augment")
    linear(algorithm, bias=0.3)
    batches: list[Any] = []
    rollouts, get = algorithm.rollout_buffer, algorithm.rollout_buffer.get

    def seen(size: int) -> Any:
        for one in get(size):
            batches.append(one)
            yield one

    rollouts.get = seen
    algorithm.n_epochs = 1
    policy = {name: value.clone() for name, value in algorithm.policy.state_dict().items()}
    algorithm.learn(16 * 16)
    assert [len(one.observations) for one in batches] == [128] * 4
    algorithm.policy.load_state_dict(policy)
    for one in batches:
        signs = torch.tensor([-1.0, 1.0, -1.0, -1.0, -1.0], dtype=torch.float64)
        assert torch.equal(one.observations[64:], one.observations[:64] * signs)
        assert torch.equal(one.actions[64:], -one.actions[:64])
        for same in (one.advantages, one.returns, one.old_values):
            assert torch.equal(same[64:], same[:64])
        _, before, _ = algorithm.policy.evaluate_actions(one.observations[:64], one.actions[:64])
        assert torch.allclose(before, one.old_log_prob[:64], atol=1e-5)
        assert torch.equal(one.old_log_prob[64:], one.old_log_prob[:64])


@pytest.mark.parametrize("target", [0.03, None])
def test_an_asymmetric_policy_can_be_updated(target: float | None) -> None:
    """The divergence from the mirror image is (2 bias)^2 / (2 variance): it would stop updates."""
    options = {"batch_size": 256, "n_epochs": 1, "log_std_init": -0.5, "target_kl": target}
    algorithm = made(symmetry="augment", **options)
    layer = linear(algorithm, bias=0.5)
    with torch.no_grad():
        layer.weight.zero_()
    algorithm.learn(256)
    logged = algorithm.logger.name_to_value
    assert abs(layer.bias.item() - 0.5) > 5e-4
    assert 2.0 * logged["train/asymmetry"] == pytest.approx(0.5 / np.exp(-1.0), rel=0.3)
    assert logged["train/approx_kl"] < 1e-6  # the only minibatch is that before the update
    assert algorithm.target_kl == target


def test_asymmetry_of_a_linear_policy() -> None:
    """The actions w o + b and -(w M o + b) differ by 2 (w_cos cos + b)."""
    algorithm = made(symmetry="loss")
    linear(algorithm, bias=0.25, cosine=0.5)
    seen = torch.from_numpy(np.random.default_rng(0).normal(size=(7, 5)))
    expected = (2.0 * (0.5 * seen[:, COSINE] + 0.25)).square().mean()
    asymmetry = algorithm.mirroring.asymmetry(algorithm.policy, seen)
    assert asymmetry.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("weight", [1e-9, 100.0])
def test_the_loss_makes_a_policy_symmetric(weight: float) -> None:
    algorithm = made(symmetry="loss", symmetry_weight=weight, learning_rate=0.01)
    layer = linear(algorithm, bias=0.3)
    algorithm.learn(16 * 16 * 10)
    asymmetric = abs((layer.bias + layer.weight[0, COSINE]).item())
    assert (asymmetric < 0.05) == (weight > 1.0)
    assert algorithm.logger.name_to_value["train/asymmetry"] >= 0.0
    assert "zero_grad" not in vars(algorithm.policy.optimizer)
    assert algorithm.rollout_buffer.expand is None


def test_the_loss_is_of_one_gradient_with_those_of_ppo() -> None:
    """With a negligible weight an update is that of PPO."""
    plain = made()
    plain.learn(16 * 16 * 2)
    penalized = made(symmetry="loss", symmetry_weight=1e-30)
    penalized.learn(16 * 16 * 2)
    for one, other in zip(plain.policy.parameters(), penalized.policy.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_frozen_actor_has_no_such_loss() -> None:
    algorithm = made(symmetry="loss")
    for name, parameter in algorithm.policy.named_parameters():
        parameter.requires_grad_("value_net" in name)
    before = algorithm.policy.action_net.weight.clone()
    algorithm.learn(16 * 16)
    assert torch.equal(algorithm.policy.action_net.weight, before)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("", "places such as"),
        ("0 x", "places such as"),
        ("0 2", "each place from 0 to 1 once"),
        ("0 0", "each place from 0 to 1 once"),
        ("1 2 0", "not its own inverse: mirrored twice, number 0"),
        ("1 -0", "not its own inverse: mirrored twice, number 0"),
    ],
)
def test_rows_that_are_no_reflection(row: str, message: str) -> None:
    with pytest.raises(UserError, match=f"mirror of legs: .*{message}"):
        Reflection.of(row, "legs")


TERMS = (ObservationTerm("cart", 1), ObservationTerm("pole", 2), ObservationTerm("velocity", 2))
ROWS = {"cart": "-0", "pole": "0 -1", "velocity": "-0 -1"}


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        (None, "symmetry: task 'cartpole' declares no mirror"),
        (Mirror("-0 -1", ROWS), "action: '-0 -1' is not of 1 actions"),
        (Mirror("-0", {**ROWS, "pole": "-0"}), "pole: 1 places; the term has 2"),
        (Mirror("-0", {"cart": "-0"}), "the term 'pole' has no row"),
        (Mirror("-0", {**ROWS, "pole": "1 1"}), "pole: '1 1'; allowed"),
    ],
)
def test_wrong_declarations(
    mirror: Mirror | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cartpole, "mirror", mirror)
    with pytest.raises(UserError, match=message):
        mirroring_of(parse_recipe("ppo", {"symmetry": "loss"}), Cartpole(), TERMS, ACTIONS)


def test_actions_whose_ranges_are_not_mirrored() -> None:
    space = spaces.Box(-1.0, 2.0, (1,))
    with pytest.raises(UserError, match="'-0' is not of 1 actions whose ranges are mirrored"):
        mirroring_of(parse_recipe("ppo", {"symmetry": "loss"}), Cartpole(), TERMS, space)


def privileged(**options: Any) -> Callable[[], Any]:
    simulation = Simulation("cartpole", "randomized", threads=1, privileged=True)
    recipe = parse_recipe("ppo", {"privileged": True, **options})
    return lambda: mirroring_of(
        recipe, simulation.task, simulation.observation_terms, simulation.action_range
    )


def test_what_the_domain_draws_has_no_mirror_image() -> None:
    with pytest.raises(UserError, match=r"what the domain draws .* allowed: symmetry=loss"):
        privileged(symmetry="augment")()
    with pytest.raises(UserError, match="what the domain draws"):
        privileged(symmetry="loss", privileged_actor=True)()
    reflection = privileged(symmetry="loss")().observation
    assert reflection.signs[:5] == (-1.0, 1.0, -1.0, -1.0, -1.0)
    assert set(reflection.signs[5:]) == {1.0}


def test_worlds_without_a_task_have_no_mirror(build: Callable[..., BaseAlgorithm]) -> None:
    with pytest.raises(UserError, match="symmetry needs a simulation of a task"):
        build("ppo", symmetry="loss")


@pytest.mark.parametrize("options", [{"symmetry": "double"}, {"symmetry_weight": 0.0}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        parse_recipe("ppo", options)
    with pytest.raises(UserError, match="unknown td3 option"):
        parse_recipe("td3", options)
