"""Recipes whose critic, or whole teacher, sees what only a simulator knows."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from resumed import assert_resumed_equals

from sim2real import cli
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.learning.loop import learn
from sim2real.learning.pretrain import pretrain
from sim2real.policies.asymmetric import Asymmetric
from sim2real.policies.build import build_algorithm
from sim2real.policies.normalizer import normalizers
from sim2real.policies.recipe import load_recipe
from sim2real.runs.contract import terms_of
from sim2real.runs.load import load_run
from sim2real.task import ObservationTerm

slow = functools.partial(pytest.param, marks=pytest.mark.slow)
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2},
    "sac": {"learning_starts": 40, "batch_size": 16},
    "td3": {"learning_starts": 40, "batch_size": 16},
}


def train(out: Path, algorithm: str, steps: int = 320, **options: Any) -> Any:
    return pretrain(
        "cartpole",
        "randomized",
        algorithm=algorithm,
        steps=steps,
        num_envs=4,
        out=out,
        options={"net_arch": [6, 5], "privileged": True, **SMALL[algorithm], **options},
        checkpoint_every=160,
        progress=False,
    )


@pytest.mark.parametrize("algorithm", ["ppo", slow("sac"), "td3"])
def test_a_run_is_privileged_in_training_only(algorithm: str, tmp_path: Path) -> None:
    run = load_run(train(tmp_path / "run", algorithm).path)
    policy = run.policy
    assert isinstance(policy, Asymmetric)
    terms = terms_of(run.task_info)
    assert policy.observation_terms == terms
    assert [term.name for term in terms][-2:] == ["truth", "context"]
    columns = sum(term.size for term in policy.acting_terms)
    assert {term.group for term in policy.acting_terms} == {"policy"}
    action, _ = policy.predict(np.zeros((3, columns)), deterministic=True)
    assert action.shape == (3, 1)
    counts = {len(one.running_mean): int(one.count) for one in normalizers(policy)}
    assert set(counts) == {columns, sum(term.size for term in terms)}
    assert len(set(counts.values())) == 1
    assert min(counts.values()) > 0
    rows = evaluate(policy, "cartpole", ["randomized", "nominal"], episodes=2)
    assert len(rows) == 4
    assert set(rows[0].context) == set(terms[-1].columns)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", slow("td3")])
def test_a_resumed_run_equals_an_uninterrupted_one(algorithm: str, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", algorithm)
    assert_resumed_equals(whole, tmp_path / "parts", kept=2)


def test_a_teacher(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "ppo", steps=128, privileged_actor=True)
    assert run.policy.acting_terms == run.policy.observation_terms  # type: ignore[attr-defined]
    assert len(evaluate(run.policy, "cartpole", "randomized", episodes=2)) == 2
    with pytest.raises(UserError, match="allowed: domains that draw what it was trained with"):
        evaluate(run.policy, "cartpole", "nominal", episodes=2)


def test_on_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = f"pretrain cartpole --steps 128 --num-envs 4 --out {out} --json --set privileged=true"
    assert cli.main([*words.split(), "n_steps=16", "batch_size=32"]) == 0
    assert load_run(out).config.recipe["privileged"] is True
    assert cli.main(["evaluate", str(out), "--episodes", "2", "--json"]) == 0


@pytest.mark.parametrize("option", ["privileged", "privileged_actor"])
def test_networks_without_a_layer_are_refused(option: str) -> None:
    with pytest.raises(UserError, match="need a hidden layer"):
        load_recipe("ppo", None, {"net_arch": [], option: True})


def test_an_environment_that_does_not_tell_its_terms(toy: Any) -> None:
    recipe = load_recipe("ppo", None, {"privileged": True, "num_envs": 2})
    with pytest.raises(UserError, match="a simulation with observation terms"):
        build_algorithm(recipe, toy.ToyVecEnv(2), 0)


@pytest.fixture
def lucky(toy: Any) -> Any:
    """The toy with a bonus a step that an episode draws, which none but the critic may see."""

    class Lucky(toy.ToyVecEnv):  # type: ignore[misc, name-defined]
        observation_terms = (
            ObservationTerm("seen", 2),
            ObservationTerm("context", 1, group="privileged", columns=("bonus",)),
        )

        def __init__(self, num_envs: int, seed: int) -> None:
            super().__init__(num_envs, seed)
            self.rng = np.random.default_rng(seed)
            self.bonus = self.rng.choice([-1.0, 1.0], num_envs)
            self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)

        def reset(self) -> Any:
            return self._whole(super().reset())

        def step_wait(self) -> Any:
            observation, reward, dones, infos = super().step_wait()
            reward = reward + self.bonus
            for world in np.flatnonzero(dones):
                final = infos[world]["terminal_observation"]
                infos[world]["terminal_observation"] = np.append(final, self.bonus[world])
            self.bonus[dones] = self.rng.choice([-1.0, 1.0], int(dones.sum()))
            return self._whole(observation), reward, dones, infos

        def _whole(self, observation: Any) -> Any:
            return np.concatenate([observation, self.bonus[:, None]], axis=1)

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [getattr(self, attr_name, None)] * self.num_envs

    return Lucky


@pytest.mark.parametrize("algorithm", ["ppo", "sac", pytest.param("td3", marks=pytest.mark.slow)])
def test_learning_where_chance_decides_the_return(
    algorithm: str, lucky: Any, tmp_path: Path
) -> None:
    """The critic sees the luck: its values of the two are as far apart as the returns.

    With discount g and steps to the end uniform in 1 to 10 the mean difference is that of
    2 (1 - g^k) / (1 - g) over k; for g = 0.9: 2 (10 - sum g^k) = 2 (10 - 5.862) = 8.28, which
    a few seconds of learning come near.
    """
    options = {"num_envs": 16, "net_arch": [32], "privileged": True, "gamma": 0.9}
    options |= {"learning_rate": 1e-2 if algorithm == "ppo" else 3e-3}
    if algorithm == "ppo":
        options |= {"n_steps": 32, "batch_size": 128, "target_kl": None}
    else:
        options |= {"learning_starts": 200, "gradient_steps": 12, "tau": 0.02}
    recipe = load_recipe(algorithm, None, {**options, "reward_scale": 1.0})
    model: Any = build_algorithm(recipe, lucky(16, 0), 0)
    learn(model, tmp_path, 5_000, progress=False)
    policy, x = model.policy, np.linspace(-0.9, 0.9, 50)
    seen = np.stack([x, 3 * x + 5, np.ones(50)], axis=1)
    action, _ = policy.predict(seen, deterministic=True)
    assert np.sqrt(np.mean((action[:, 0] - x) ** 2)) < 0.15
    other = seen * [1.0, 1.0, -1.0]
    np.testing.assert_array_equal(action, policy.predict(other, deterministic=True)[0])
    one, two = (_values(policy, torch.tensor(given), action) for given in (seen, other))
    assert (one - two).mean().item() == pytest.approx(8.28, rel=0.35)


def _values(policy: Any, seen: torch.Tensor, action: Any) -> torch.Tensor:
    with torch.no_grad():
        if hasattr(policy, "predict_values"):
            found: torch.Tensor = policy.predict_values(seen)
            return found
        return torch.cat(policy.critic(seen.float(), torch.tensor(action)), dim=1)
