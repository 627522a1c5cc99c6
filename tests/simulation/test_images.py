"""Images as observations: where things are in them, when they are new, and in which form."""

import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_sb3_env

from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation, images
from sim2real.simulation.front_ends.dict_vec_env import DictVecEnv
from sim2real.simulation.front_ends.env import Sim2RealEnv
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.simulation.front_ends.vector_env import Sim2RealVectorEnv
from sim2real.simulation.rendering import Renderer, RenderingUnavailable
from sim2real.task import Image

WATCHED = str(Path(__file__).parent.parent / "robots" / "watched.py")
SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")
WIDTH, HEIGHT, DISTANCE, FOVY = 32, 16, 2.0, 30.0


@pytest.fixture(scope="module", autouse=True)
def gl():
    try:
        Renderer(Simulation(SLIDER)).close()
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def seen(simulation, name):
    """The image `name` as each world observes it, (n, channels, height, width)."""
    first = 0
    for term in simulation.observation_terms:
        if term.name == name:
            rows = simulation.observation[:, first : first + term.size]
            return rows.reshape(simulation.num_envs, *term.shape)
        first += term.size
    raise AssertionError(name)


def test_an_image_shows_each_world_where_its_ball_is():
    simulation = Simulation(WATCHED, num_envs=4, threads=1)
    front = seen(simulation, "front")
    for world in range(4):
        red = (front[world, 0] > 128) & (front[world, 1] < 128)
        column = np.argwhere(red)[:, 1].mean()
        # a pinhole: half the height is DISTANCE * tan(FOVY / 2) away from the axis
        pixels_per_metre = HEIGHT / 2 / (DISTANCE * np.tan(np.radians(FOVY / 2)))
        expected = (WIDTH - 1) / 2 + simulation.qpos[world, 0] * pixels_per_metre
        assert column == pytest.approx(expected, abs=0.6)
    simulation.close()


def test_gray_is_the_luma_of_rgb(monkeypatch):
    square = {
        "red": Image("front", 16, 16),
        "gray": Image("front", 16, 16, "gray"),
    }
    task = load_task(WATCHED)
    monkeypatch.setattr(type(task), "images", square)
    simulation = Simulation(task, threads=1)
    rgb, gray = seen(simulation, "red")[0], seen(simulation, "gray")[0, 0]
    expected = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
    np.testing.assert_allclose(gray, expected, atol=0.5)
    simulation.close()


def test_a_new_image_is_rendered_only_when_due(monkeypatch):
    rendered = []
    original = images.Images._rendered

    def counted(self, line):
        rendered.append(line.term.name)
        return original(self, line)

    monkeypatch.setattr(images.Images, "_rendered", counted)
    simulation = Simulation(WATCHED, num_envs=2, threads=1)
    assert sorted(rendered) == ["front", "front", "past", "past"]
    rendered.clear()
    simulation.qvel[:] = 3.0  # m/s
    history = [seen(simulation, "past")]
    for _ in range(6):
        simulation.step(np.ones((2, 1)))
        history.append(seen(simulation, "past"))
    assert rendered.count("front") == 2 * 6
    assert rendered.count("past") == 2 * 2  # 0.06 s are three control steps
    np.testing.assert_array_equal(history[0], history[2])
    assert (history[3] != history[2]).any()
    np.testing.assert_array_equal(history[3], history[5])
    first, last = history[0][:, -1], history[3][:, -1]
    np.testing.assert_array_equal(history[0][:, 0], first)  # a full stack from the start
    np.testing.assert_array_equal(history[3][:, 0], first)  # oldest first
    np.testing.assert_array_equal(history[6][:, 0], last)
    simulation.close()


def test_the_physics_does_not_notice_images(monkeypatch):
    with_images = Simulation(WATCHED, num_envs=3, seed=1, threads=1)
    task = load_task(WATCHED)
    monkeypatch.setattr(type(task), "images", {})
    without = Simulation(task, num_envs=3, seed=1, threads=1)
    action = np.array([[1.0], [-0.3], [0.1]])
    for _ in range(60):
        one, other = with_images.step(action), without.step(action)
        np.testing.assert_array_equal(one.reward, other.reward)
        np.testing.assert_array_equal(with_images.qpos, without.qpos)
    with_images.close()
    without.close()


def test_a_restored_simulation_goes_on_with_the_same_images():
    one = Simulation(WATCHED, num_envs=2, seed=3, threads=1, privileged=True)
    for _ in range(4):
        one.step(np.ones((2, 1)))
    other = Simulation(WATCHED, num_envs=2, seed=3, threads=1, privileged=True)
    other.restore(one.snapshot())
    np.testing.assert_array_equal(one.observation, other.observation)
    for _ in range(50):
        action = np.full((2, 1), -0.7)
        np.testing.assert_array_equal(one.step(action).observation, other.step(action).observation)
    one.close()
    other.close()


def test_both_checkers_pass():
    env = Sim2RealEnv(WATCHED)
    assert list(env.observation_space) == ["front", "past", "state"]
    assert env.observation_space["front"] == gym.spaces.Box(0, 255, (3, 16, 32), np.uint8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(image|resolution|CnnPolicy)")  # a small one
        check_env(env, skip_render_check=True)
        check_sb3_env(env)
    env.close()


def test_gymnasium_and_stable_baselines3_get_images_of_uint8():
    vector = Sim2RealVectorEnv(WATCHED, 2, max_episode_steps=2)
    observation, _ = vector.reset(seed=0)
    assert observation in vector.observation_space
    assert observation["front"].dtype == np.uint8
    for _ in range(2):
        observation, *_, info = vector.step(np.ones((2, 1), np.float32))
    assert info["final_obs"][0] in vector.single_observation_space
    vector.close()
    env = DictVecEnv(make_vec_env(WATCHED, num_envs=2, threads=1))
    first = env.reset()
    assert {name: part.shape for name, part in first.items()} == {
        "state": (2, 1),
        "front": (2, 3, 16, 32),
        "past": (2, 2, 16, 16),
    }
    for _ in range(50):
        *_, infos = env.step(np.ones((2, 1), np.float32))
    assert infos[0]["terminal_observation"]["front"].shape == (3, 16, 32)
    env.close()


@pytest.mark.slow
def test_stable_baselines3_learns_on_it(monkeypatch):
    task = load_task(WATCHED)
    monkeypatch.setattr(type(task), "images", {"front": Image("front", 48, 48)})
    env = DictVecEnv(make_vec_env(task, num_envs=2, threads=1))
    PPO("MultiInputPolicy", env, n_steps=16, batch_size=16, n_epochs=1).learn(32)
    env.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"front": Image("frnt")}, "did you mean 'front'"),
        ({"speed": Image("front")}, "no term may have the name 'speed'"),
        ({"front": Image("front", period=0.03)}, "not a multiple of 0.02 s"),
        ({"front": "front"}, r'allowed: names with an Image each, such as \{"front"'),
    ],
)
def test_a_wrong_image_is_refused(monkeypatch, given, message):
    task = load_task(WATCHED)
    monkeypatch.setattr(type(task), "images", given)
    with pytest.raises(UserError, match=message):
        Simulation(task, threads=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 4}, "width is 4; allowed: 8 to 512"),
        ({"stack": 0}, "stack is 0; allowed: 1 to 16"),
        ({"colors": "grey"}, "did you mean 'gray'"),
    ],
)
def test_a_wrong_size_is_refused_at_once(given, message):
    with pytest.raises(UserError, match=message):
        Image("front", **given)


def test_without_opengl_it_says_what_to_install(monkeypatch):
    def missing(*args):
        raise RenderingUnavailable("no images: there is no EGL")

    monkeypatch.setattr(images, "fast_renderer", missing)
    with pytest.raises(UserError, match=r"observes images, and no images.*libegl1"):
        Simulation(WATCHED, threads=1)
