"""The slider as a user's own Gymnasium environment, and ways in which such a thing goes wrong."""

import os
import time
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.wrappers import TimeLimit

MODEL = str(Path(__file__).with_name("slider.xml"))


class SliderEnv(MujocoEnv):
    """2 kg on a rail, pushed by 3 N at an action of 1; the control step is 0.02 s."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, **options):
        space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        super().__init__(MODEL, 5, space, **options)

    def step(self, action):
        self.do_simulation(action, self.frame_skip)
        return self.state_vector(), float(self.data.qvel[0]), False, False, {}

    def reset_model(self):
        self.data.qpos[:] = self.np_random.uniform(-0.01, 0.01)
        return self.state_vector()


class Faulty(SliderEnv):
    """Goes wrong in one way at the third step with a positive action."""

    fault = ""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        if action[0] > 0 and self.data.time > 0.05:
            if self.fault == "raise":
                raise ValueError("the gripper broke")
            if self.fault == "hang":
                time.sleep(1000)
            if self.fault == "die":
                os._exit(3)
            if self.fault == "nan":
                reward = np.nan
        return observation, reward, *rest


class Remade(SliderEnv):
    """Makes a model of its own at each reset."""

    def reset_model(self):
        self.model, self.data = self._initialize_simulation()
        return super().reset_model()


class Grown(SliderEnv):
    """Has a body more from its first reset on."""

    def reset_model(self):
        spec = mujoco.MjSpec.from_file(MODEL)
        spec.worldbody.add_body(name="other")
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        return super().reset_model()


def make():
    return TimeLimit(SliderEnv(), 20)


def faulty(fault):
    env = Faulty()
    env.fault = fault
    return TimeLimit(env, 20)


def raising():
    return faulty("raise")


def hanging():
    return faulty("hang")


def dying():
    return faulty("die")
