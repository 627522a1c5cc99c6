"""The front ends as Gymnasium and Stable-Baselines3 see them."""

import itertools
import sys
import warnings
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from conformance_cases import in_turn, slow_unless
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_sb3_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecVideoRecorder

import sim2real  # noqa: F401 (registers the ids)
from sim2real.errors import UserError
from sim2real.registry import gymnasium_ids
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.domain_wrapper import DomainWrapper
from sim2real.simulation.front_ends.env import Sim2RealEnv
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.simulation.front_ends.vector_env import Sim2RealVectorEnv
from sim2real.simulation.rendering import Renderer, RenderingUnavailable

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")


@pytest.fixture(scope="session")
def gl():
    try:
        Renderer(Simulation(SLIDER)).close()
    except RenderingUnavailable as error:
        pytest.skip(str(error))


ALTERNATELY = in_turn(gymnasium_ids(), DOMAINS := ("nominal", "randomized"), 2)


@pytest.mark.parametrize(
    ("env_id", "domain"),
    [
        slow_unless(case in ALTERNATELY, *case)
        for case in itertools.product(gymnasium_ids(), DOMAINS)
    ],
)
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
        assert dones.tolist() == [step == 49] * 3
    for world, info in enumerate(infos):
        assert info["TimeLimit.truncated"]
        assert info["episode"]["l"] == 50
        assert info["terminal_observation"][1] > observation[world, 1]
        assert set(info["reward_terms"]) == {"place", "effort"}
    env.seed(4)
    np.testing.assert_array_equal(env.reset(), first)
    assert env.env_is_wrapped(Monitor) == [True, True, True]
    assert env.get_attr("dt", indices=[0]) == [env.simulation.dt]
    with pytest.raises(AttributeError, match="dt belongs to all worlds; set it on the env's sim"):
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


def play(env, actions, reset):
    """What a vector environment gives for `actions`, with `reset` called for what has ended."""
    seen = [env.reset(seed=3)[0]]
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        seen += [observation, reward, terminated, truncated]
        if (terminated | truncated).any() and reset:
            observation, info = env.reset(options={"reset_mask": terminated | truncated})
            seen.append(observation)
            np.testing.assert_array_equal(info["_context"], terminated | truncated)
    return seen


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
def test_autoreset_is_that_of_gymnasium(mode):
    """As Gymnasium's SyncVectorEnv of our single environment, one world to compare seeds."""
    options = {"domain": "randomized", "max_episode_steps": 20}
    ours = gym.make_vec("sim2real/Hopper-v0", num_envs=1, autoreset_mode=mode, **options)
    theirs = gym.make_vec(
        "sim2real/Hopper-v0",
        num_envs=1,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **options,
    )
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    actions = np.random.default_rng(0).uniform(-1, 1, (70, 1, 3)).astype(np.float32)
    for mine, other in zip(
        play(ours, actions, mode == "Disabled"),
        play(theirs, actions, mode == "Disabled"),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, other)


def test_each_mode_runs_the_same_episodes():
    ends = {}
    for mode in ("SameStep", "NextStep", "Disabled"):
        env = gym.make_vec(
            "sim2real/Hopper-v0", 3, domain="randomized", autoreset_mode=mode, max_episode_steps=9
        )
        env.reset(seed=0)
        ends[mode] = []
        for _ in range(30):
            *_, terminated, truncated, info = env.step(np.zeros((3, 3), dtype=np.float32))
            over = terminated | truncated
            if over.any():
                np.testing.assert_array_equal(info["_final_info"], over)
                final = info["final_info"]
                ends[mode] += list(zip(final["episode"]["r"], final["episode"]["l"], strict=True))
            if over.any() and mode == "Disabled":
                env.reset(options={"reset_mask": over})
    assert ends["SameStep"] == ends["Disabled"]
    assert ends["NextStep"] == ends["SameStep"][: len(ends["NextStep"])]
    assert ends["NextStep"][0][1] == 9
    with pytest.raises(UserError, match="the worlds 0, 1, 2 are over"):
        [env.step(np.zeros((3, 3), dtype=np.float32)) for _ in range(20)]


def test_gymnasiums_vector_wrappers_work():
    make = {"num_envs": 3, "domain": "randomized", "max_episode_steps": 15}
    env = gym.make_vec("sim2real/Hopper-v0", autoreset_mode="NextStep", **make)
    env = gym.wrappers.vector.RecordEpisodeStatistics(env)
    env = gym.wrappers.vector.NormalizeReward(gym.wrappers.vector.NormalizeObservation(env))
    env.reset(seed=0)
    lengths = []
    for _ in range(40):
        observation, *_, info = env.step(env.action_space.sample())
        lengths += info["episode"]["l"][info["_episode"]].tolist() if "episode" in info else []
    assert np.abs(observation).max() < 20
    assert max(lengths) == 15
    same = gym.make_vec("sim2real/Hopper-v0", **make)
    same = gym.wrappers.vector.RecordEpisodeStatistics(same)
    same = gym.wrappers.vector.NormalizeReward(same)
    same.reset(seed=0)
    assert any("episode" in same.step(same.action_space.sample())[-1] for _ in range(20))


def test_a_reset_starts_the_episode_that_it_is_asked_for():
    one = Sim2RealEnv(SLIDER, "drawn")
    many = gym.make_vec("sim2real/Hopper-v0", num_envs=2, domain="randomized")
    one.reset(seed=5)
    expected = [one.reset()[1]["context"] for _ in range(7)]  # episodes 1 to 7
    observation, info = one.reset(options={"episode": 3})
    assert info["context"] == expected[2]
    assert one.reset()[1]["context"] == expected[3]
    _, first = many.reset(seed=0)
    _, later = many.reset(seed=0, options={"episode": 2})
    _, second = many.reset(options={"episode": [3, 2]})
    for name, values in later["context"].items():
        np.testing.assert_array_equal(second["context"][name], values[::-1])
        assert not np.array_equal(values, first["context"][name])
    observation, _ = many.reset(options={"episode": 0, "reset_mask": np.array([False, True])})
    np.testing.assert_array_equal(observation[0], many.simulation.observation[0])
    assert many.simulation.episode_indices.tolist() == [3, 0]


@pytest.mark.parametrize(
    "options", [[1], [], 0, 3.5, "episode", ("a", 1), {"episode": [[1, 2], [3]]}]
)
def test_options_of_another_type_are_refused_in_one_line(options):
    foreign = gym.make("InvertedPendulum-v5")
    vector = gym.make_vec("sim2real/Cartpole-v0", num_envs=2)
    for env in (Sim2RealEnv(SLIDER), vector, DomainWrapper(foreign)):
        with pytest.raises(UserError, match=r"(the options of a reset are|option 'episode' is) "):
            env.reset(options=options)
    with pytest.raises(UserError, match="option 'reset_mask' is"):
        vector.reset(options={"reset_mask": [[True], [True, False]]})


@pytest.mark.parametrize("task", [SLIDER, "InvertedPendulum-v5"])
def test_sb3_options_of_another_type_are_refused_in_one_line(task):
    env = make_vec_env(task, num_envs=2, threads=1)
    try:
        for options in ([1, 2], [{}], 5, "ab", [{}, 5], ({}, {}, {})):
            env.set_options(options)
            with pytest.raises(UserError, match="the options of a reset are"):
                env.reset()
            env.set_options()
            env.reset()
    finally:
        env.close()


def test_what_a_reset_cannot_do_is_refused():
    one, many = Sim2RealEnv(SLIDER), gym.make_vec("sim2real/Hopper-v0", num_envs=2)
    for env in (one, many.unwrapped):
        with pytest.raises(
            UserError, match="unknown reset option 'epsode'; did you mean 'episode'"
        ):
            env.reset(options={"epsode": 2})
        for wrong in (-1, 1.5, "two", True, [1, 2, 3]):
            with pytest.raises(UserError, match="reset option 'episode' is"):
                env.reset(options={"episode": wrong})
    with pytest.raises(UserError, match=r"^seed is \[1, 2\]; allowed: one whole number"):
        many.reset(seed=[1, 2])
    for mask in ([True], np.array([1, 0]), np.array([False, False])):
        with pytest.raises(UserError, match="reset option 'reset_mask' is"):
            many.reset(options={"reset_mask": mask})
    with pytest.raises(UserError, match="a seed is that of all worlds"):
        many.reset(seed=1, options={"reset_mask": np.array([True, False])})
    with pytest.raises(UserError, match="unknown autoreset_mode 'Same'; did you mean 'SameStep'"):
        gym.make_vec("sim2real/Hopper-v0", autoreset_mode="Same")
    for wrong in (0, 2.5, True):
        with pytest.raises(UserError, match="max_episode_steps is"):
            gym.make_vec("sim2real/Hopper-v0", max_episode_steps=wrong)


def test_attributes_of_a_vector_environment():
    env = gym.make_vec("sim2real/Hopper-v0", num_envs=2)
    env.unwrapped.set_attr("goal", [1.0, 2.0])
    env.unwrapped.set_attr("stage", 3)
    assert env.unwrapped.get_attr("goal") == (1.0, 2.0)
    assert env.unwrapped.call("stage") == (3, 3)
    assert env.unwrapped.call("dt") == (env.unwrapped.simulation.dt,) * 2
    assert env.unwrapped.call("contexts") == ([{}, {}],) * 2
    with pytest.raises(AttributeError, match="qpos belongs to all worlds"):
        env.unwrapped.set_attr("qpos", 1.0)
    with pytest.raises(UserError, match="goal: 3 values for 2 worlds"):
        env.unwrapped.set_attr("goal", [1, 2, 3])
    with pytest.raises(AttributeError, match="nothing"):
        env.unwrapped.get_attr("nothing")


def test_time_limits_and_time_in_the_observation():
    env = gym.wrappers.TimeAwareObservation(gym.make("sim2real/Hopper-v0"))
    assert env.observation_space.shape == (12,)
    assert env.spec.max_episode_steps == env.unwrapped.simulation.episode_steps == 1000
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[0][11] == 1
    again = gym.make(gym.make("sim2real/Hopper-v0", domain="hard").spec)
    assert again.unwrapped.simulation.domain.name == "hard"
    short = gym.make("sim2real/HalfCheetah-v0", max_episode_steps=5)
    short.reset(seed=0)
    ends = [short.step(np.zeros(6, dtype=np.float32))[3] for _ in range(5)]
    assert ends == [False] * 4 + [True]
    long = gym.make_vec("sim2real/Swimmer-v0", num_envs=1, max_episode_steps=1002)
    long.reset(seed=0)
    ends = [bool(long.step(np.zeros((1, 2), dtype=np.float32))[3][0]) for _ in range(1002)]
    assert ends == [False] * 1001 + [True]


def test_sb3_options_attributes_and_pictures(gl, tmp_path, monkeypatch):
    env = make_vec_env(SLIDER, "drawn", num_envs=2, render_mode="rgb_array")
    env.seed(5)
    env.reset()
    env.reset()
    second = [info["context"] for info in env.reset_infos]
    env.seed(5)
    env.set_options([{"episode": 3}, {"episode": 2}])
    env.reset()
    assert [info["context"] for info in env.reset_infos] == second[::-1]
    env.set_options({"episod": 3})
    with pytest.raises(UserError, match="unknown reset option 'episod'"):
        env.reset()
    env.set_options([{"episode": 3}, {}])
    with pytest.raises(UserError, match="ask for an episode in some worlds"):
        env.reset()
    env.set_options()
    env.set_attr("goal", 3.0, indices=1)
    assert env.get_attr("goal") == [None, 3.0]
    assert env.render().shape == (480, 320, 3)
    assert env.metadata["render_fps"] == 50
    with pytest.raises(UserError, match="unknown render_mode 'human'; allowed: rgb_array"):
        make_vec_env(SLIDER, num_envs=1, render_mode="human")
    filmed = []
    monkeypatch.setitem(sys.modules, "moviepy", ModuleType("moviepy"))
    recorder = VecVideoRecorder(env, str(tmp_path), lambda step: step == 0, video_length=5)
    monkeypatch.setattr(
        recorder, "_stop_recording", lambda: filmed.extend(recorder.recorded_frames)
    )
    recorder.reset()
    for _ in range(5):
        recorder.step(np.ones((2, 1), dtype=np.float32))
    assert [frame.shape for frame in filmed] == [(480, 320, 3)] * 6
    assert recorder.frames_per_sec == 50
    recorder.recorded_frames = []


@pytest.mark.parametrize("screen", ["", ":973"])
def test_a_window_without_a_screen_is_refused(screen, monkeypatch):
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.setenv("WAYLAND_DISPLAY", "")
    for make in (
        lambda: gym.make("sim2real/Hopper-v0", render_mode="human"),
        lambda: Sim2RealEnv(SLIDER, render_mode="human"),
        lambda: DomainWrapper(gym.make("Hopper-v5", render_mode="human")),
    ):
        with pytest.raises(UserError, match="there is no screen here; allowed without one: 'rgb_"):
            make()


@pytest.mark.parametrize("given", ["a", 1.5, -1, 2**64, True, [1], np.array([1, 2])])
def test_a_seed_that_is_none_is_refused(given):
    env = make_vec_env(SLIDER, num_envs=2)
    front_ends = [
        Sim2RealEnv(SLIDER),
        Sim2RealVectorEnv(SLIDER, num_envs=2),
        DomainWrapper(gym.make("InvertedPendulum-v5")),
    ]
    for take in (
        env.seed,
        lambda seed: Simulation(SLIDER, seed=seed),
        *[lambda seed, one=one: one.reset(seed=seed) for one in front_ends],
    ):
        with pytest.raises(UserError, match=r"^seed is .*; allowed: "):
            take(given)
    for one in front_ends:
        one.reset(seed=np.int64(2**63 - 1))
        one.close()
    assert env.seed(3) == [3, 4]
    env.close()


@pytest.mark.parametrize("name", ["threads", "num_envs"])
@pytest.mark.parametrize("task", [SLIDER, "Hopper-v5"])
@pytest.mark.parametrize("given", [-3, 1.5, "x", 10**9, True, None])
def test_an_absurd_count_is_refused(task, name, given):
    with pytest.raises(UserError, match=f"^{name} is .*; allowed: "):
        make_vec_env(task, **{name: given})
