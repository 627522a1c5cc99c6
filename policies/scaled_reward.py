"""Rewards on the scale that a learner likes, while what is reported stays as it is."""

from __future__ import annotations

from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class ScaledReward(VecEnvWrapper):
    """Multiply the reward that the learner sees; episode returns in `info` stay as they are."""

    def __init__(self, venv: VecEnv, scale: float) -> None:
        super().__init__(venv)
        self.scale = scale

    def reset(self) -> VecEnvObs:
        """Reset every world."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """The result of the step with the reward scaled."""
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, rewards * self.scale, dones, infos
