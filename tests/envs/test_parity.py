"""Every task that Gymnasium also has equals its v5 environment to the last bit."""

from __future__ import annotations

import gymnasium
import mujoco
import numpy as np
import pytest

from sim2real.simulation import Simulation

STEPS = {1: 1_000, 3: 100}
"""By the number of worlds: one reaches the time limit."""
WITHOUT_CONTACTS = {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0}
IDS = {
    "ant": "Ant-v5",
    "half_cheetah": "HalfCheetah-v5",
    "hopper": "Hopper-v5",
    "humanoid": "Humanoid-v5",
    "inverted_double_pendulum": "InvertedDoublePendulum-v5",
    "inverted_pendulum": "InvertedPendulum-v5",
    "pusher": "Pusher-v5",
    "reacher": "Reacher-v5",
    "swimmer": "Swimmer-v5",
    "walker2d": "Walker2d-v5",
}


def make(name: str, seed: int) -> gymnasium.Env:
    options = WITHOUT_CONTACTS if name in ("ant", "humanoid") else {}
    env = gymnasium.make(IDS[name], disable_env_checker=True, **options)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    return env


def start_like(env: gymnasium.Env, simulation: Simulation, world: int) -> np.ndarray:
    """Start an episode of `env` in the state of a world; return the observation there."""
    env.reset()
    bare = env.unwrapped
    mujoco.mj_resetData(bare.model, bare.data)  # drops the warm start of Gymnasium's own state
    bare.set_state(simulation.qpos[world].copy(), simulation.qvel[world].copy())
    return bare._get_obs()


# One world and several: NumPy may take other loops for them.
@pytest.mark.parametrize("num_envs", STEPS)
@pytest.mark.parametrize("name", IDS)
def test_equals_gymnasium_bit_for_bit(name: str, num_envs: int) -> None:
    simulation = Simulation(name, num_envs=num_envs, seed=3, threads=2)
    envs = [make(name, seed) for seed in range(num_envs)]
    observation = simulation.observation
    for i, env in enumerate(envs):
        np.testing.assert_array_equal(start_like(env, simulation, i), observation[i])
    ended = 0
    for step in range(STEPS[num_envs]):
        actions = np.stack([env.action_space.sample() for env in envs])
        assert actions.dtype == np.float32
        transition = simulation.step(actions)
        final = transition.observation.copy()
        final[transition.ended] = transition.final_observation
        for i, env in enumerate(envs):
            observation, reward, terminated, truncated, _ = env.step(actions[i])
            where = f"step {step}, world {i}"
            np.testing.assert_array_equal(final[i], observation, err_msg=where)
            assert transition.reward[i] == reward, where
            assert transition.terminated[i] == terminated, where
            # Where both happen at once, Gymnasium tells both too.
            assert transition.truncated[i] == truncated, where
        ended += len(transition.ended)
        for i in transition.ended:
            first = start_like(envs[i], simulation, i)
            np.testing.assert_array_equal(first, transition.observation[i])
    assert ended or num_envs > 1  # of one world at the time limit at the latest
    for env in envs:
        env.close()
