"""The front ends as Gymnasium and Stable-Baselines3 see them."""

import warnings
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_sb3_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import sim2real  # noqa: F401 (registers the ids)
from sim2real.errors import UserError
from sim2real.registry import gymnasium_ids
from sim2real.simulation import Simulation
from sim2real.simulation.env import Sim2RealEnv
from sim2real.simulation.rendering import Renderer, RenderingUnavailable
from sim2real.simulation.vec_env import make_vec_env

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")


@pytest.fixture(scope="session")
def gl():
    try:
        Renderer(Simulation(SLIDER)).close()
    except RenderingUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("env_id", gymnasium_ids())
@pytest.mark.parametrize("domain", ["nominal", "randomized"])
def test_both_checkers_pass_without_a_warning(env_id, domain):
    env = gym.make(env_id, domain=domain)
    with warnings.catch_warnings():  # warnings are errors in the tests
        if np.any(env.action_space.high != 1):  # as in Gymnasium's own v5, which they equal
            warnings.filterwarnings("ignore", message=".*symmetric and normalized")
        check_env(env.unwrapped, skip_render_check=True)
        check_sb3_env(env)


def test_the_env_follows_the_conventions_of_mujoco_env():
    env = Sim2RealEnv("hopper", "hard")
    env.reset(seed=0)
    assert env.dt == pytest.approx(0.008)
    assert env.metadata["render_fps"] == 125
    assert isinstance(env.model, mujoco.MjModel)
    qpos, qvel = env.data.qpos + 0.1, env.data.qvel - 0.1
    env.set_state(qpos, qvel)
    np.testing.assert_array_equal(env.data.qpos, qpos)
    np.testing.assert_array_equal(env.data.qvel, qvel)
    # the forward pass was run: positions of bodies belong to the new state
    reference = mujoco.MjData(env.model)
    reference.qpos[:], reference.qvel[:] = qpos, qvel
    mujoco.mj_forward(env.model, reference)
    np.testing.assert_array_equal(env.simulation.xpos[0], reference.xpos)
    with pytest.raises(UserError, match=r"qpos must have the shape \(6,\)"):
        env.set_state(qpos[:2], qvel)
    with pytest.raises(UserError, match=r"the action must have the shape \(3,\), got \(2,\)"):
        env.step(np.zeros(2, dtype=np.float32))


def test_reset_with_a_seed_starts_its_first_episode_and_without_the_next():
    env = Sim2RealEnv(SLIDER, "drawn")
    first, info = env.reset(seed=5)
    assert set(info["context"]) == {"body_mass:mass", "delay", "strength:push"}
    second, other = env.reset()
    assert other["context"] != info["context"]
    again, same = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)
    assert same == info
    assert not np.array_equal(first, second)


def test_an_ended_env_stays_at_its_end():
    env = Sim2RealEnv(SLIDER)
    env.reset(seed=0)
    for _ in range(50):
        observation, *_, truncated, info = env.step(np.ones(1, dtype=np.float32))
    assert truncated
    assert observation[1] == env.data.qvel[0] == pytest.approx(1.5)
    assert set(info["terms"]) == {"place", "effort"}


def test_make_vec_gives_the_batched_front_end():
    env = gym.make_vec("sim2real/Hopper-v0", num_envs=8, domain="randomized")
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert info["context"]["dof_damping"].shape == (8,)
    env.action_space.seed(0)
    ended = np.zeros(8, dtype=bool)
    while not ended.any():
        before = info["context"]["dof_damping"].copy()
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        ended = terminated | truncated
    world = int(np.flatnonzero(ended)[0])
    np.testing.assert_array_equal(info["_final_obs"], ended)
    assert info["final_obs"][world].shape == (11,)
    assert not np.array_equal(info["final_obs"][world], observation[world])
    assert info["final_info"]["context"]["dof_damping"][world] == before[world]
    assert info["context"]["dof_damping"][world] != before[world]
    assert info["final_info"]["episode"]["l"][world] > 0


def test_vec_env_infos_are_what_sb3_reads():
    env = make_vec_env(SLIDER, "drawn", num_envs=3)
    env.seed(4)
    first = env.reset()
    for step in range(50):
        contexts = env.simulation.contexts()
        observation, _, dones, infos = env.step(np.ones((3, 1), dtype=np.float32))
        assert [info["context"] for info in infos] == contexts
        assert dones.all() == (step == 49)
    for world, info in enumerate(infos):
        assert info["TimeLimit.truncated"]
        assert info["episode"]["l"] == 50
        assert info["terminal_observation"][1] > observation[world, 1]
        assert set(info["reward_terms"]) == {"place", "effort"}
    env.seed(4)
    np.testing.assert_array_equal(env.reset(), first)
    assert env.env_is_wrapped(Monitor) == [True, True, True]
    assert env.get_attr("dt", indices=[0]) == [env.simulation.dt]
    with pytest.raises(AttributeError, match=r"vec_env\.simulation"):
        env.set_attr("dt", 1.0)


def test_plain_sb3_code_runs_unchanged():
    model = PPO("MlpPolicy", make_vec_env("hopper", "randomized", num_envs=4), n_steps=64, seed=0)
    model.learn(512)
    assert model.ep_info_buffer
    mean, _ = evaluate_policy(model, make_vec_env("hopper", num_envs=2), n_eval_episodes=4)
    assert np.isfinite(mean)
    PPO("MlpPolicy", gym.make("sim2real/Hopper-v0"), n_steps=64).learn(64)


def test_pictures_show_the_world_of_the_episode(gl):
    env = gym.make("sim2real/Hopper-v0", domain="randomized", render_mode="rgb_array")
    env.reset(seed=0)
    start = env.render()
    assert start.shape == (480, 480, 3)
    assert len(np.unique(start)) > 20
    for _ in range(30):
        env.step(np.zeros(3, dtype=np.float32))
    assert not np.array_equal(env.render(), start)
    env.close()
    vector = gym.make_vec("sim2real/Hopper-v0", num_envs=2, render_mode="rgb_array", width=64)
    vector.reset(seed=0)
    assert [picture.shape for picture in vector.render()] == [(480, 64, 3)] * 2
    vector.close()


def test_bad_arguments_are_refused():
    with pytest.raises(UserError, match="unknown render_mode 'rgb'; allowed: human, rgb_array"):
        Sim2RealEnv("hopper", render_mode="rgb")
    with pytest.raises(UserError, match="unknown option"):
        Sim2RealEnv("hopper", wings=2)
    env = Sim2RealEnv("hopper")
    with pytest.raises(UserError, match="render_mode='rgb_array'"):
        env.render()
