"""Penalties on the reward of a training, which make the actions of a policy smoother and weaker.

    r'  =  r  -  w_a |a_t - a_(t-1)|^2  -  w_tau |tau_t|^2

a are the actions in [-1, 1], tau the forces and torques of the actuators at the degrees of freedom
(N, N m). They are the terms `action_rate` and `torques` of legged_gym (Rudin et al. 2022,
arXiv:2109.11978), whose weights, 0.01 and 1e-5, are multiplied by its control step of 0.02 s.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import Field
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sim2real.config import Config
from sim2real.errors import UserError

Weight = Annotated[float, Field(ge=0.0)]


class Penalties(Config):
    """Options of a recipe that takes something off the reward; what is reported stays as it is."""

    action_rate_penalty: Weight = 0.0
    """Taken off the reward, times the square of the change of the action, in [-1, 1]."""
    torque_penalty: Weight = 0.0
    """Taken off the reward, times the square of the actuators' forces and torques."""


class PenalizedReward(VecEnvWrapper):
    """Take the penalties off the reward that a learner sees; `info` stays as it is.

    The first action of an episode has no rate, and the last step no torque: its world stands at the
    start of the next episode already.
    """

    def __init__(self, venv: VecEnv, options: Penalties) -> None:
        super().__init__(venv)
        self._weights = options
        space: spaces.Box = venv.get_attr("action_range")[0]
        self._half = (space.high - space.low) / 2.0
        self._rates = np.zeros(venv.num_envs)

    def reset(self) -> VecEnvObs:
        """Reset every world."""
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Begin a step; it changes the action that was given last."""
        own_units = self._simulated("action_map") or np.asarray
        change = (own_units(actions) - self._simulated("last_action")) / self._half
        self._rates = np.square(change).sum(axis=1) * (self._simulated("steps") > 0)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """The result of the step with the penalties taken off the reward."""
        observations, rewards, dones, infos = self.venv.step_wait()
        torques = np.square(self._simulated("qfrc_actuator")).sum(axis=1) * ~dones
        rewards = rewards - self._weights.action_rate_penalty * self._rates
        return observations, rewards - self._weights.torque_penalty * torques, dones, infos

    def _simulated(self, name: str) -> Any:
        return self.venv.get_attr(name, [0])[0]


def penalized(env: VecEnv, options: Penalties) -> VecEnv:
    """`env` with the penalties of a recipe, or as it is where there are none.

    UserError for an environment that is no simulation of a task.
    """
    if not (options.action_rate_penalty or options.torque_penalty):
        return env
    if not (
        env.has_attr("action_range") and isinstance(env.get_attr("action_range")[0], spaces.Box)
    ):
        raise UserError("action_rate_penalty and torque_penalty need a simulation of a task")
    return PenalizedReward(env, options)
