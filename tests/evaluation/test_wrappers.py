from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.logger import KVWriter, Logger

from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.evaluation.wrappers import GapCallback, GapWrapper
from sim2real.simulation.front_ends.vec_env import make_vec_env


class Counting(gymnasium.Env[Any, Any]):
    """Episode k (from 1) has 3 steps of reward k each: its return is 3 k."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,))
    action_space = gymnasium.spaces.Box(0, 1, (1,))
    episode = step_count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.step_count = self.episode + 1, 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.step_count += 1
        return np.zeros(1, np.float32), self.episode, False, self.step_count == 3, {"kept": True}


def run(env: gymnasium.Env[Any, Any], episodes: int) -> list[dict[str, Any]]:
    """The infos of every step."""
    infos = []
    for _ in range(episodes):
        env.reset()
        over = False
        while not over:
            _, _, terminated, truncated, info = env.step(env.action_space.sample())
            over = terminated or truncated
            infos.append(info)
    return infos


def test_wrapper_states_the_gap_at_the_end_of_each_episode() -> None:
    env = GapWrapper(Counting(), source=[10.0, 12.0, 14.0])
    infos = run(env, 3)
    assert env.returns == [3, 6, 9]
    assert ["gap" in info for info in infos] == [False, False, True] * 3
    assert all(info["kept"] for info in infos)
    # the source's mean is 12; after three episodes the target's is 6
    assert [info["gap"]["gap"] for info in infos[2::3]] == [9.0, 7.5, 6.0]
    last = infos[-1]["gap"]
    assert (last["return"], last["episodes"]) == (9, 3)
    # Welch of 10, 12, 14 against 3, 6, 9: deviations 2 and 3, 3.48 degrees of freedom
    assert (last["low"], last["high"]) == pytest.approx((-0.133, 12.133), abs=1e-3)
    assert np.isnan(infos[5]["gap"]["low"])  # of two episodes


def test_wrapper_forgets_beyond_its_window_and_what_was_broken_off() -> None:
    env = GapWrapper(Counting(), source=[12.0], window=2)
    env.reset()
    env.step(np.zeros(1))  # broken off: neither recorded nor added to the next
    assert run(env, 3)[-1]["gap"]["gap"] == 12 - (9 + 12) / 2
    assert env.returns == [6, 9, 12]


def test_wrapper_takes_rows_and_refuses_nothing() -> None:
    env = gymnasium.make("sim2real/InvertedPendulum-v0", domain="hard")
    policy = PPO("MlpPolicy", make_vec_env("inverted_pendulum", num_envs=1), seed=0, device="cpu")
    rows = evaluate(policy, "inverted_pendulum", "nominal", episodes=3)
    wrapped = GapWrapper(env, rows)
    np.testing.assert_array_equal(wrapped.source, returns(rows))
    assert np.isfinite(run(wrapped, 1)[-1]["gap"]["gap"])
    for source in ([], [float("nan")]):
        with pytest.raises(UserError, match="one return at least"):
            GapWrapper(env, source)


class Memory(KVWriter):
    """Keeps what an SB3 logger dumps."""

    def __init__(self) -> None:
        self.dumped: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.dumped.append(dict(key_values))


def test_callback_measures_logs_and_writes(tmp_path: Path) -> None:
    env = make_vec_env("inverted_pendulum", num_envs=4)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, seed=0, device="cpu")
    memory = Memory()
    model.set_logger(Logger(None, [memory]))
    gap = GapCallback("inverted_pendulum", "nominal", "hard", every=256, episodes=3, run=tmp_path)
    model.learn(640, callback=gap, log_interval=1)
    assert [point.steps for point in gap.points] == [0, 256, 512, 640]
    last = gap.points[-1]
    expected = [
        returns(evaluate(model.policy, "inverted_pendulum", domain, episodes=3)).mean()
        for domain in ("nominal", "hard")
    ]
    assert (last.source_return, last.target_return) == pytest.approx(tuple(expected))
    assert last.gap.value == pytest.approx(expected[0] - expected[1])
    assert any("rollout/gap" in values for values in memory.dumped)
    written = json.loads((tmp_path / "report" / "gap.json").read_text())
    assert written["target"] == "hard"
    assert [point["steps"] for point in written["points"]] == [0, 256, 512, 640]
    again = GapCallback("inverted_pendulum", "nominal", "hard", every=256)
    again.restore(json.loads(json.dumps(gap.state())))
    assert again.points == gap.points


def test_callback_does_not_change_the_training() -> None:
    def weights(*callbacks: GapCallback) -> Any:
        env = make_vec_env("inverted_pendulum", num_envs=4, seed=3)
        model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, seed=3, device="cpu")
        model.learn(256, callback=list(callbacks))
        return [tensor.detach().numpy() for tensor in model.policy.parameters()]

    gap = GapCallback("inverted_pendulum", "nominal", "hard", every=128, episodes=2)
    for plain, watched in zip(weights(), weights(gap), strict=True):
        np.testing.assert_array_equal(plain, watched)


def test_callback_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UserError, match="at least 1"):
        GapCallback("hopper", "nominal", "hard", every=0)
    with pytest.raises(UserError, match="unknown domain"):
        GapCallback("hopper", "nominal", "harrd", every=10)
