"""A VecEnv with images for stable-baselines3's own policies, such as "MultiInputPolicy"."""

from __future__ import annotations

from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sim2real.simulation.front_ends.image_spaces import ImageSpaces
from sim2real.simulation.front_ends.vec_env import SimVecEnv

TERMINAL = "terminal_observation"


class DictVecEnv(VecEnvWrapper):
    """The worlds of `venv`, whose observations are a dict: "state", and each image by its name.

    Images are (n, channels, height, width) of uint8. The observations of a task without images
    stay arrays.
    """

    def __init__(self, venv: SimVecEnv) -> None:
        self._spaces = ImageSpaces(venv.simulation.observation_terms)
        super().__init__(venv, observation_space=self._spaces.space)

    def reset(self) -> VecEnvObs:
        """Start the next episode of every world; return the observations."""
        observations: VecEnvObs = self._spaces.of(self.venv.reset())  # type: ignore[arg-type]
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """One control step of every world, with what ended reset."""
        rows, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if TERMINAL in info:
                info[TERMINAL] = self._spaces.of(info[TERMINAL])
        return self._spaces.of(rows), rewards, dones, infos  # type: ignore[arg-type]
