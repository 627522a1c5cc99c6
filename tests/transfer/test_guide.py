"""Jump-start: who acts when, and what is learned of a reward that chance does not find."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sim2real.errors import UserError
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.transfer import guide as guides
from sim2real.transfer.api import transfer
from sim2real.transfer.budget import Budget
from sim2real.transfer.conformance import METHOD_CHECKS, Trial
from sim2real.transfer.find import load_method
from sim2real.transfer.guide import Guide, longest_episode
from sim2real.transfer.method import LearnerMethod
from tests.toy import PlainVecEnv
from tests.training_fixtures import SMALL

LENGTH = 10
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


class Plays:
    """A guide that always does the same."""

    def __init__(self, action: float) -> None:
        self.action = action

    def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[Any, None]:
        return np.full((len(observation), 1), self.action, np.float32), None


class Corridor(PlainVecEnv):
    """A walk from 0 in steps of at most 0.1; who is beyond 0.65 at the tenth has won 1.

    A walk of random actions has a standard deviation of 0.18 there.
    """

    def __init__(self, num_envs: int) -> None:
        observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        super().__init__(num_envs, observation_space, spaces.Box(-1.0, 1.0, (1,), np.float32))
        self.place, self.age = np.zeros(num_envs), np.zeros(num_envs, int)
        self.played: list[np.ndarray] = []

    def reset(self) -> np.ndarray:
        return np.stack([self.place, self.age / LENGTH], axis=1)

    def step_async(self, actions: np.ndarray) -> None:
        self.played.append(actions[:, 0].copy())
        self.place = self.place + 0.1 * actions[:, 0]

    def step_wait(self) -> Any:
        self.age += 1
        dones = self.age == LENGTH
        rewards = (dones & (self.place > 0.65)).astype(float)
        infos: list[dict[str, Any]] = [{} for _ in dones]
        for world, final in enumerate(self.reset()):
            infos[world] = {"terminal_observation": final} if dones[world] else {}
        self.place, self.age = np.where(dones, 0.0, self.place), np.where(dones, 0, self.age)
        return self.reset(), rewards, dones, infos


def test_the_guides_part_falls_to_0() -> None:
    guide = Guide(Plays(1.0), 10, 100.0)
    assert [guide.guided(done) for done in (0, 50, 90, 100, 500)] == [10, 5, 1, 0, 0]


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_the_guide_acts_first_and_the_learner_then(algorithm: str) -> None:
    recipe = load_recipe(algorithm, None, {**SMALL[algorithm], "num_envs": 4, "train_freq": LENGTH})
    env = Corridor(4)
    learner: Any = build_algorithm(recipe, env, 0)
    guide = Guide(Plays(0.25), 6, 1e9)
    learner.learn(4 * 3 * LENGTH, callback=guide)
    led = np.isclose(env.played, 0.25).reshape(3, LENGTH, 4)
    assert led[:, :6].all()
    assert not led[:, 6:].any()
    assert np.isclose(learner.replay_buffer.actions[: 3 * LENGTH, :, 0], env.played).all()
    assert "_sample_action" not in vars(learner)


@pytest.mark.parametrize(("guide", "wins"), [(0.6, True), slow(0.0, False)])
def test_a_reward_that_chance_does_not_find_is_learned(
    guide: float, wins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guides, "in_columns_of", lambda source, env: source.policy)
    options = {"num_envs": 8, "batch_size": 64, "gradient_steps": 8, "net_arch": [16, 16]}
    recipe = load_recipe("sac", None, {**options, "gamma": 0.95, "learning_rate": 5e-3})
    given: dict[str, Any] = {"guide": guide, "guide_steps": LENGTH} if guide else {}
    method = load_method("scratch", {"recipe": options, **given})
    assert isinstance(method, LearnerMethod)
    budget, source = Budget(3_200), SimpleNamespace(policy=Plays(1.0))
    prepared = method.prepare(
        source,  # type: ignore[arg-type]
        method.target_recipe(recipe, budget),
        Corridor(8),
        budget,
        0,
    )
    learner = prepared.algorithm
    learner.learn(budget.steps, callback=list(prepared.callbacks))
    test = Corridor(1)
    seen, rewards = test.reset(), 0.0
    for _ in range(LENGTH):
        seen, reward, _, _ = test.step(learner.predict(seen, deterministic=True)[0])
        rewards += float(reward[0])
    assert bool(rewards) == wins


@pytest.mark.usefixtures("short_cartpole")
@pytest.mark.parametrize("method", ["scratch", slow("fine_tune")])
def test_the_checks_of_a_method_pass(method: str, tmp_path: Path) -> None:
    options = {"guide": 0.7, "guide_steps": 5}
    trial = Trial(method, "td3", tmp_path, 150, options)
    for check in METHOD_CHECKS.values():
        check(trial)


def test_whole_episodes_are_those_of_the_task(tmp_path: Path) -> None:
    class Timed(Corridor):
        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            found = {"task": SimpleNamespace(episode_s=6.0), "dt": 0.02}
            return [found.get(attr_name)]

    assert longest_episode(Timed(1)) == 300


def test_ppo_has_no_guide(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="PPO learns from its own actions alone; allowed: sac"):
        transfer(
            "pretrained:cartpole",
            "hard",
            method="scratch",
            budget=100,
            num_envs=4,
            out=tmp_path / "run",
            options={"guide": 0.5},
            progress=False,
        )
    assert not (tmp_path / "run").exists()


def test_steps_without_a_guide_are_refused() -> None:
    with pytest.raises(UserError, match="a guide that acts in no part; set guide"):
        load_method("fine_tune", {"guide_steps": 5})
