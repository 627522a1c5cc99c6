"""Foreign environments in spawned workers: same episodes, reported failures, no orphans."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from gymnasium.envs.registration import EnvSpec
from stable_baselines3 import PPO, SAC, HerReplayBuffer
from stable_baselines3.common.monitor import Monitor

import sim2real as s2r
from sim2real.errors import UserError
from sim2real.simulation.front_ends.domain_wrapper import DomainWrapper
from sim2real.simulation.front_ends.foreign import find_foreign, foreign_domain
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.simulation.front_ends.workers import WorkerError, WorkerVecEnv

ROBOTS = Path(__file__).parent.parent / "robots"
WORN = {
    "name": "worn",
    "dynamics": [{"field": "body_mass", "scale": {"uniform": [0.5, 2.0]}}],
    "sensing": [{"noise": {"normal": [0.0, 0.01]}}],
}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Workers find the module of the user's environment where the main process does."""
    monkeypatch.syspath_prepend(str(ROBOTS))


def vec_env(function="make", num_envs=3, workers=2, timeout_s=60.0, seed=5):
    env = find_foreign(f"slider_env:{function}")
    return WorkerVecEnv(env, foreign_domain(WORN), num_envs, seed, workers, timeout_s)


def actions(num_envs, step):
    return np.random.default_rng(step).uniform(-1, 1, (num_envs, 1)).astype(np.float32)


def test_episodes_are_those_of_the_wrapper_for_any_number_of_workers():
    import slider_env

    alone = DomainWrapper(slider_env.make(), WORN)
    env, other = vec_env(workers=2), vec_env(workers=1)
    ended = []
    try:
        first = env.reset()
        np.testing.assert_array_equal(other.reset(), first)
        expected = [alone.reset(seed=5, options={"episode": k}) for k in range(3)]
        np.testing.assert_array_equal(first, [observation for observation, _ in expected])
        assert env.reset_infos == [info for _, info in expected]
        for step in range(45):
            given = actions(3, step)
            results = env.step(given), other.step(given)
            for one, two in zip(*(result[:3] for result in results), strict=True):
                np.testing.assert_array_equal(one, two)
            assert env.episodes() == other.episodes()
            ended += env.episodes()
            if step == 19:
                infos, following = results[0][3], results[0][0]
        env.seed(5)
        np.testing.assert_array_equal(env.reset(), first)
    finally:
        env.close()
        other.close()
    assert [(episode.index, episode.world) for episode in ended] == [
        (index, index % 3) for index in range(6)
    ]
    assert all(episode.truncated and episode.length == 20 for episode in ended)
    for world, info in enumerate(infos):
        again, details = alone.reset(seed=5, options={"episode": world})
        total = 0.0
        for step in range(20):
            again, reward, *_ = alone.step(actions(3, step)[world])
            total += float(reward)
        assert info["context"] == details["context"]
        assert info["episode"]["r"] == pytest.approx(total)
        assert info["TimeLimit.truncated"]
        assert not info["failed"] | info["unstable"]
        np.testing.assert_array_equal(info["terminal_observation"], again)
        after, _ = alone.reset(seed=5, options={"episode": world + 3})
        np.testing.assert_array_equal(following[world], after)


def test_actions_options_and_pictures_of_the_front_end():
    """SB3's own ways: set_options, new attributes, pictures; actions in [-1, 1] are mapped."""
    env = s2r.make_vec_env(
        "InvertedPendulum-v5",
        {"dynamics": WORN["dynamics"]},
        num_envs=2,
        threads=1,
        actions="normalized",
        render_mode="rgb_array",
    )
    try:
        env.seed(5)
        env.reset()
        env.reset()
        second = [info["context"] for info in env.reset_infos]
        env.seed(5)
        env.set_options([{"episode": 3}, {"episode": 2}])
        env.reset()
        assert [info["context"] for info in env.reset_infos] == second[::-1]
        env.set_attr("goal", 3.0)
        assert env.get_attr("goal") == [3.0, 3.0]
        assert env.render_mode == "rgb_array"
        env.step(np.full((2, 1), 0.5, dtype=np.float32))
        controls = env.get_attr("data")
        assert [float(data.ctrl[0]) for data in controls] == [1.5, 1.5]
    finally:
        env.close()
    with pytest.raises(UserError, match="it must give it the render_mode"):
        s2r.make_vec_env("slider_env:make", num_envs=1, render_mode="rgb_array")


def test_attributes_and_methods_of_the_environments():
    env = vec_env(num_envs=2, workers=1)
    try:
        assert env.get_attr("frame_skip") == [5, 5]
        env.set_attr("frame_skip", 10, indices=[1])
        assert env.get_attr("dt") == [0.02, 0.04]
        env.env_method("reset_model", indices=0)
        assert env.env_is_wrapped(Monitor) == [True, True]
        assert env.render_mode is None
        assert env.get_images() == [None, None]
        with pytest.raises(AttributeError, match="no attribute 'wings'"):
            env.get_attr("wings")
        with pytest.raises(UserError, match="expected 2 actions, got 3"):
            env.step(np.zeros((3, 1)))
        assert env.reset().shape == (2, 2)  # and it goes on
    finally:
        env.close()
        env.close()
    with pytest.raises(RuntimeError, match="workers of slider_env:make have ended"):
        env.reset()


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("raising", r"ValueError: the gripper broke\n\nIn the worker:\nTraceback"),
        ("hanging", r"no answer within 0\.5 s; its worker was killed"),
        ("dying", "its worker ended with exit code 3"),
    ],
)
def test_a_failure_states_environment_seed_and_episode(function, problem):
    env = vec_env(function, workers=2 if function == "hanging" else 1, timeout_s=0.5)
    env.reset()
    processes = [psutil.Process(worker.process.pid) for worker in env._workers]
    pull, push = -np.ones((3, 1)), np.array([[-1.0], [-1.0], [1.0]])
    where = rf"environment 2 of slider_env:{function} \(seed 5, episode 5\)"
    for _ in range(23):
        env.step(pull)  # the first episodes pass
    with pytest.raises(WorkerError, match=f"{where}: {problem}") as caught:
        env.step(push)
    assert (caught.value.env_index, caught.value.seed, caught.value.episode) == (2, 5, 5)
    assert ("in step" in caught.value.traceback) == (function == "raising")
    assert not any(process.is_running() for process in processes)


def test_what_a_user_gets_wrong_is_one_line():
    wrong = {"dynamics": [{"field": "body_mass", "of": "mas", "scale": 2.0}]}
    with pytest.raises(UserError, match=r"environment 0 of slider_env:make: .*did you mean 'mass'"):
        s2r.make_vec_env("slider_env:make", wrong, num_envs=1)
    with pytest.raises(UserError, match="unknown task 'hoper'; did you mean 'hopper'"):
        s2r.make_vec_env("hoper")
    with pytest.raises(UserError, match="'FetchReech-v4'; did you mean 'FetchReach-v4'"):
        s2r.make_vec_env("FetchReech-v4")
    with pytest.raises(UserError, match="not a lambda"):
        s2r.make_vec_env(lambda: None)
    with pytest.raises(UserError, match="No module named 'my_robots'"):
        s2r.make_vec_env("my_robots:make")
    with pytest.raises(UserError, match="no domains of its own"):
        s2r.make_vec_env("Hopper-v5", "hard")
    with pytest.raises(UserError, match="no privileged terms"):
        s2r.make_vec_env("Hopper-v5", privileged=True)
    with pytest.raises(UserError, match="num_envs is 0; allowed: 1 to"):
        s2r.make_vec_env("Hopper-v5", num_envs=0)


def test_what_is_a_task_and_what_is_foreign():
    import slider_env

    assert find_foreign("hopper") is None
    assert find_foreign(str(ROBOTS / "slider.py")) is None
    assert find_foreign("slider:Slider") is None
    assert find_foreign("Hopper-v5").spec.id == "Hopper-v5"
    assert find_foreign("gymnasium_robotics:FetchReach-v4").spec.id == "FetchReach-v4"
    assert find_foreign(EnvSpec("Mine-v0", entry_point="slider_env:SliderEnv")).name == "Mine-v0"
    assert find_foreign(slider_env.make).name == "slider_env:make"
    env = s2r.make_vec_env("hopper", num_envs=1)
    assert isinstance(env, SimVecEnv)


# -- plain SB3 code ------------------------------------------------------------------------------

ROUGH = s2r.Domain(
    name="rough",
    dynamics=[{"field": "dof_damping", "scale": {"uniform": [0.5, 2.0]}, "shared": True}],
    actuation=[{"delay": {"uniform": [0.0, 0.04]}}],
    sensing=[{"noise": {"normal": [0.0, 0.001]}}],
)


def test_fetch_reach_is_randomized_trained_and_evaluated():
    env = s2r.make_vec_env("FetchReach-v4", ROUGH, num_envs=2, seed=0, threads=1)
    try:
        model = SAC(
            "MultiInputPolicy",
            env,
            replay_buffer_class=HerReplayBuffer,
            learning_starts=100,
            batch_size=16,
            policy_kwargs={"net_arch": [16]},
            seed=0,
        )
        model.learn(120)
    finally:
        env.close()
    assert len(model.ep_info_buffer) == 2
    rows = [
        s2r.evaluate(
            model.policy, "FetchReach-v4", ROUGH, episodes=3, num_envs=size, threads=1, seed=1
        )
        for size in (1, 2)
    ]
    assert rows[0] == rows[1]
    assert [row.episode for row in rows[0]] == [0, 1, 2]
    assert {row.length for row in rows[0]} == {50}
    assert len({row.context["delay"] for row in rows[0]} | {0.0, 0.04}) == 2
    assert len({row.context["dof_damping"] for row in rows[0]}) == 3


@pytest.mark.slow
def test_an_adroit_hand_is_randomized_trained_and_evaluated():
    env = s2r.make_vec_env("AdroitHandDoor-v1", ROUGH, num_envs=2, seed=0, threads=2)
    try:
        model = PPO(
            "MlpPolicy", env, n_steps=32, batch_size=32, policy_kwargs={"net_arch": [16]}, seed=0
        )
        model.learn(64)
    finally:
        env.close()
    (row,) = s2r.evaluate(model.policy, "AdroitHandDoor-v1", ROUGH, episodes=1)
    assert np.isfinite(row.total)
    assert row.length == 200
    with pytest.raises(UserError, match="observation_space has the shape"):
        s2r.evaluate(model.policy, "FetchReach-v4", ROUGH, episodes=1)


# -- no orphans ----------------------------------------------------------------------------------

SCRIPT = """
if __name__ == "__main__":
    import signal
    import sys
    import numpy as np

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    from sim2real.simulation.front_ends.foreign import find_foreign, foreign_domain
    from sim2real.simulation.front_ends.workers import WorkerVecEnv

    sys.path.insert(0, {robots!r})
    env = WorkerVecEnv(find_foreign("slider_env:hanging"), foreign_domain(None), 2, workers=2)
    env.reset()
    for _ in range(3):
        env.step(-np.ones((2, 1)))
    print(*(worker.process.pid for worker in env._workers), flush=True)
    env.step(np.array([[-1.0], [1.0]]))  # the second one hangs, the first one waits for orders
"""


@pytest.mark.parametrize("how", ["SIGKILL", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_workers_end_with_the_main_process(how, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(robots=str(ROBOTS)))
    main = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = [psutil.Process(int(pid)) for pid in main.stdout.readline().split()]
    assert len(workers) == 2
    time.sleep(0.2)
    if how == "SIGINT":  # Ctrl-C reaches every process of the terminal
        os.killpg(main.pid, signal.SIGINT)
    else:
        main.send_signal(getattr(signal, how))
    gone, alive = psutil.wait_procs(workers, timeout=15)
    for process in alive:
        process.kill()
    _, errors = main.communicate(timeout=15)
    assert not alive
    assert len(gone) == 2
    assert errors.count("Traceback") == (how == "SIGINT")
    assert ("KeyboardInterrupt" in errors) == (how == "SIGINT")
