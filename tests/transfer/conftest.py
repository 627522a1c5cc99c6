from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.transfer.budget import MeteredVecEnv


class Killed(BaseException):
    """What a process that is killed does not catch."""


@pytest.fixture
def killed_after(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[int], AbstractContextManager[None]]:
    """A context that raises Killed in the metered step after `calls` steps, and expects it."""

    @contextmanager
    def killed(calls: int) -> Iterator[None]:
        made, step_wait = 0, MeteredVecEnv.step_wait

        def until_killed(env: MeteredVecEnv) -> Any:
            nonlocal made
            made += 1
            if made > calls:
                raise Killed
            return step_wait(env)

        with monkeypatch.context() as patch:
            patch.setattr(MeteredVecEnv, "step_wait", until_killed)
            with pytest.raises(Killed):
                yield

    return killed


class CountingEnv(VecEnv):
    """Identifiable data: the observation is (world, step, 1), an episode lasts seven steps.

    Even worlds fail at its end, odd worlds run out of time. The reward is -|action|^2.
    """

    def __init__(self, num_envs: int) -> None:
        observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        super().__init__(num_envs, observation_space, spaces.Box(-1.0, 1.0, (2,), np.float32))
        self.stepped = 0
        self.steps = np.zeros(num_envs, dtype=int)
        self.actions = np.zeros((num_envs, 2))

    def observation(self) -> np.ndarray:
        worlds = np.arange(self.num_envs)
        return np.stack([worlds, self.steps, np.ones(self.num_envs)], axis=1).astype(float)

    def reset(self) -> np.ndarray:
        self.steps[:] = 0
        return self.observation()

    def step_async(self, actions: np.ndarray) -> None:
        self.stepped += self.num_envs
        self.actions = np.asarray(actions, dtype=float)

    def step_wait(self) -> Any:
        self.steps += 1
        final = self.observation()
        dones = self.steps == 7
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for world in np.flatnonzero(dones):
            out_of_time = bool(world % 2)
            infos[world] = {
                "terminal_observation": final[world],
                "TimeLimit.truncated": out_of_time,
                "failed": not out_of_time,
                "episode": {"r": 0.0, "l": 7, "t": 0.0},
            }
        self.steps[dones] = 0
        return self.observation(), -np.square(self.actions).sum(axis=1), dones, infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


@pytest.fixture
def counting() -> Callable[[int], CountingEnv]:
    return CountingEnv


SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 8, "batch_size": 16, "n_epochs": 2},
    "sac": {"learning_starts": 0, "batch_size": 16, "train_freq": 2, "gradient_steps": 2},
    "td3": {"learning_starts": 0, "batch_size": 16, "train_freq": 2, "gradient_steps": 2},
}


@pytest.fixture
def build() -> Callable[..., BaseAlgorithm]:
    """Make a small algorithm: build("ppo", env, learning_rate=0.1)."""

    def make(algorithm: str, env: VecEnv, seed: int = 0, **options: Any) -> BaseAlgorithm:
        small = {"net_arch": (8, 8), "buffer_size": 1000, **SMALL[algorithm], **options}
        if algorithm == "ppo":
            del small["buffer_size"]
        return build_algorithm(load_recipe(algorithm, None, small), env, seed)

    return make
