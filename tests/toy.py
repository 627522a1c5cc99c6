"""A world whose optimum is known: do what the first number seen says; 1 a step, 10 an episode."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

EPISODE = 10
BEST = 10.0


class ToySimulation:
    """n worlds; each sees (x, 3 x + 5), x uniform in [-1, 1], and earns 1 - (action - x)^2."""

    def __init__(self, num_envs: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.x = self.rng.uniform(-1.0, 1.0, num_envs)
        self.steps = np.arange(num_envs) % EPISODE  # episodes end at different times
        self.total = np.zeros(num_envs)
        self.begun = False

    def snapshot(self) -> dict[str, np.ndarray]:
        state = self.rng.bit_generator.state["state"]
        words = [value >> shift & (2**64 - 1) for value in state.values() for shift in (0, 64)]
        return {
            "rng": np.array(words, dtype=np.uint64),
            "x": self.x.copy(),
            "steps": self.steps.copy(),
            "total": self.total.copy(),
        }

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        words = [int(word) for word in snapshot["rng"]]
        state = self.rng.bit_generator.state
        state["state"] = {"state": words[0] | words[1] << 64, "inc": words[2] | words[3] << 64}
        self.rng.bit_generator.state = state
        self.x, self.steps = snapshot["x"].copy(), snapshot["steps"].copy()
        self.total = snapshot["total"].copy()

    def observation(self) -> np.ndarray:
        return np.stack([self.x, 3.0 * self.x + 5.0], axis=1)


class PlainVecEnv(VecEnv):
    """The methods of a VecEnv that a toy does not need."""

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kw: Any) -> list[Any]:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class ToyVecEnv(PlainVecEnv):
    def __init__(self, num_envs: int = 8, seed: int = 0) -> None:
        self.simulation = ToySimulation(num_envs, seed)
        observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        super().__init__(num_envs, observation_space, spaces.Box(-1.0, 1.0, (1,), np.float32))

    def reset(self) -> np.ndarray:
        return self.simulation.observation()

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        world = self.simulation
        errors = (self.actions[:, 0].astype(np.float64) - world.x) ** 2
        reward = 1.0 - errors
        world.total += reward
        world.steps += 1
        world.x = world.rng.uniform(-1.0, 1.0, self.num_envs)
        dones = world.steps >= EPISODE
        observation = world.observation()
        infos: list[dict[str, Any]] = [{"context": {"mass": float(x)}} for x in world.x]
        for i in np.flatnonzero(dones):
            infos[i] |= {
                "terminal_observation": observation[i],
                "TimeLimit.truncated": False,
                "episode": {"r": world.total[i], "l": EPISODE, "t": 0.0},
                "reward_terms": {"alive": 1.0 * EPISODE, "error": world.total[i] - EPISODE},
                "failed": False,
                "unstable": bool(world.x[i] > 0.9),
            }
            world.steps[i], world.total[i] = 0, 0.0
        return observation, reward, dones, infos
