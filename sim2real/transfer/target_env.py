"""The environment that a method gets of the target: it shows what a robot would show.

The observation, the reward and the end of an episode are visible. The domain, its values and its
random numbers are not, and the worlds cannot be set, seeded or rewound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from gymnasium import Wrapper
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sim2real.errors import UserError, unknown
from sim2real.transfer.budget import MeteredVecEnv

ATTRIBUTES = (
    *("observation_space", "action_space", "observation_terms", "policy_terms", "action_map"),
    *("num_envs", "dt", "render_mode", "task", "commanded", "step_s"),
)
"""What `get_attr` returns: the task, the contract of a policy, and the commands and duration of the
last control step: (n, nu) and (n,) in s, of all worlds."""

INFOS = (
    *("terminal_observation", "TimeLimit.truncated", "episode", "reward_terms"),
    *("failed", "unstable", "is_success"),
)
"""What the infos contain; not the context."""
OF_REWARD = ("episode", "reward_terms", "is_success")
"""Those of them that tell about the reward."""


class HiddenAttribute(UserError, AttributeError):
    """An attribute of the target that a method may not read; also an AttributeError for SB3."""


class TargetVecEnv(VecEnv):
    """A stable-baselines3 VecEnv around a metered one, which is private.

    Where it is not `rewarded`, every reward is 0, and the infos do not tell of it.
    Raises BudgetExceeded before the step that would exceed the budget.
    """

    def __init__(self, venv: MeteredVecEnv, rewarded: bool = True) -> None:
        self.__venv = venv  # sim2real.runs.state reads it for the checkpoints
        self._rewarded = rewarded
        self._shown = [key for key in INFOS if rewarded or key not in OF_REWARD]
        super().__init__(venv.num_envs, venv.observation_space, venv.action_space)

    def reset(self) -> VecEnvObs:
        """Reset every world; counts one reset each."""
        return self.__venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Charge one control step of every world, then start it."""
        self.__venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """The result of the step; the infos have keys of `INFOS` only."""
        observations, rewards, dones, infos = self.__venv.step_wait()
        shown = [{key: info[key] for key in self._shown if key in info} for info in infos]
        return observations, rewards if self._rewarded else np.zeros_like(rewards), dones, shown

    def close(self) -> None:
        """Close the worlds."""
        self.__venv.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Do nothing: the episodes of a target cannot be chosen."""
        return [None] * self.num_envs

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> NoReturn:
        """Raise UserError: the episodes of a target cannot be chosen."""
        raise UserError("the episodes of the target cannot be chosen; allowed: reset()")

    def get_images(self) -> Sequence[np.ndarray | None]:
        """An image of every world, where there is a render mode."""
        return self.__venv.get_images()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """One of `ATTRIBUTES` for each world; HiddenAttribute, a UserError, for all others."""
        if attr_name not in ATTRIBUTES:
            raise HiddenAttribute(f"the target: {unknown('attribute', attr_name, ATTRIBUTES)}")
        return self.__venv.get_attr(attr_name, indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> NoReturn:
        """Raise UserError: nothing of the target can be set."""
        raise UserError(f"attribute {attr_name!r} of the target cannot be set; allowed: none")

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **options: Any
    ) -> NoReturn:
        """Raise UserError: no method of the target can be called."""
        raise UserError(
            f"method {method_name!r} of the target cannot be called; allowed: step, reset"
        )

    def env_is_wrapped(
        self, wrapper_class: type[Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether the infos have the statistics of `wrapper_class`: those of SB3's Monitor."""
        return self.__venv.env_is_wrapped(wrapper_class, indices)
