"""Two sets of worlds that are stepped together, as one VecEnv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from gymnasium import Wrapper
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sim2real.errors import UserError


class SideBySide(VecEnv):
    """The worlds of the first environment, then those of the others, of the same spaces."""

    def __init__(self, *parts: VecEnv) -> None:
        self.parts = parts  # sim2real.runs.state reads it for the checkpoints
        first, count = parts[0], sum(part.num_envs for part in parts)
        self._ends = np.cumsum([part.num_envs for part in parts])[:-1]
        super().__init__(count, first.observation_space, first.action_space)

    def reset(self) -> VecEnvObs:
        """Reset every world."""
        return np.concatenate([np.asarray(part.reset()) for part in self.parts])

    def step_async(self, actions: np.ndarray) -> None:
        """Start one control step of every world."""
        for part, own in zip(self.parts, np.split(actions, self._ends), strict=True):
            part.step_async(own)

    def step_wait(self) -> VecEnvStepReturn:
        """The result of the step."""
        results = [part.step_wait() for part in self.parts]
        observations, rewards, dones = (
            np.concatenate([np.asarray(one[column]) for one in results]) for column in range(3)
        )
        return observations, rewards, dones, [info for one in results for info in one[3]]

    def close(self) -> None:
        """Close all worlds."""
        for part in self.parts:
            part.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed each environment, where it can be seeded."""
        return [one for part in self.parts for one in part.seed(seed)]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute for each world."""
        values = [value for part in self.parts for value in part.get_attr(attr_name)]
        return [values[index] for index in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> NoReturn:
        """Raise UserError: nothing of them can be set."""
        raise UserError(f"attribute {attr_name!r} of worlds side by side cannot be set")

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **options: Any
    ) -> NoReturn:
        """Raise UserError: no method of them can be called."""
        raise UserError(f"method {method_name!r} of worlds side by side cannot be called")

    def env_is_wrapped(
        self, wrapper_class: type[Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether each world has the statistics of `wrapper_class`."""
        values = [one for part in self.parts for one in part.env_is_wrapped(wrapper_class)]
        return [values[index] for index in self._get_indices(indices)]
