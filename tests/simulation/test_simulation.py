"""The simulation against a plain `mj_step` loop, closed forms, and itself."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.simulation import Simulation

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")


def actions(simulation, steps, seed=0):
    shape = (steps, simulation.num_envs, simulation.model.nu)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def trajectory(simulation, steps=120):
    return [simulation.step(action) for action in actions(simulation, steps)]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
        np.testing.assert_array_equal(one.reward, other.reward)
        assert one.episodes == other.episodes


@pytest.mark.parametrize("task", ["hopper", "ant", "cartpole"])
def test_equals_a_plain_loop_of_mj_step_on_each_worlds_model(task):
    simulation = Simulation(task, "randomized", num_envs=3, seed=1)
    plain = []
    for world in range(3):
        model, data = simulation.world_model(world), simulation.world_data(world)
        mujoco.mj_forward(model, data)
        plain.append((model, simulation.world_data(world, data)))
    for action in actions(simulation, 40):
        transition = simulation.advance(action)
        for world, (model, data) in enumerate(plain):
            data.ctrl[:] = action[world]
            mujoco.mj_step(model, data, simulation.substeps)
            np.testing.assert_array_equal(simulation.qpos[world], data.qpos)
            np.testing.assert_array_equal(simulation.qvel[world], data.qvel)
        assert not transition.unstable.any()


@pytest.mark.parametrize("task", ["hopper", "humanoid", SLIDER])
def test_same_seed_same_rollout_at_any_number_of_threads(task):
    domain = "drawn" if task == SLIDER else "randomized"
    one = Simulation(task, domain, num_envs=5, seed=3, threads=1)
    two = Simulation(task, domain, num_envs=5, seed=3, threads=2)
    assert_equal(trajectory(one, 60), trajectory(two, 60))


def test_draws_depend_on_seed_and_episode_alone():
    few = Simulation(SLIDER, "drawn", num_envs=2, seed=7)
    many = Simulation(SLIDER, "drawn", num_envs=6, seed=7)
    drawn = {}
    for _ in range(3):
        drawn |= dict(zip(few.episode_indices.tolist(), few.contexts(), strict=True))
        few.reset()
    assert drawn == dict(zip(many.episode_indices.tolist(), many.contexts(), strict=True))
    # episode 4 is world 0's third of two worlds and world 4's first of six: alike to the last bit
    few.reset(episodes=[4, 5])
    np.testing.assert_array_equal(few.observation, many.observation[4:])
    push = np.full((6, 1), 0.5)
    for _ in range(40):
        np.testing.assert_array_equal(
            few.advance(push[:2]).observation, many.advance(push).observation[4:]
        )
    other = Simulation(SLIDER, "drawn", num_envs=6, seed=8)
    assert not np.any(other.context == many.context)


@pytest.mark.parametrize("task", ["hopper", "humanoid", SLIDER])
def test_restoring_a_snapshot_continues_bitwise(task):
    domain = "drawn" if task == SLIDER else "randomized"
    simulation = Simulation(task, domain, num_envs=4, seed=2)
    trajectory(simulation, 37)
    snapshot = simulation.snapshot()
    expected = trajectory(simulation)
    assert sum(len(transition.ended) for transition in expected) > 0
    fresh = Simulation(task, domain, num_envs=4, seed=0)
    fresh.restore(snapshot)
    assert fresh.contexts() != Simulation(task, domain, num_envs=4, seed=0).contexts()
    assert_equal(trajectory(fresh), expected)


def test_a_snapshot_of_another_simulation_is_refused():
    snapshot = Simulation(SLIDER, num_envs=2).snapshot()
    with pytest.raises(UserError, match="snapshot: state must be"):
        Simulation(SLIDER, num_envs=3).restore(snapshot)
    del snapshot["steps"]
    with pytest.raises(UserError, match=r"steps must be .* got nothing"):
        Simulation(SLIDER, num_envs=2).restore(snapshot)


def test_an_unstable_world_ends_and_never_disturbs_its_neighbours(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    broken, healthy = (Simulation("hopper", num_envs=4, seed=0) for _ in range(2))
    for step, action in enumerate(actions(broken, 30)):
        if step == 5:
            broken.qvel[2] = 1e30
        ours, theirs = broken.step(action), healthy.step(action)
        others = [0, 1, 3]
        np.testing.assert_array_equal(ours.observation[others], theirs.observation[others])
        assert ours.unstable.tolist() == [False, False, step == 5, False]
        if step == 5:
            assert ours.terminated[2]
            assert ours.reward[2] == 0.0
            assert ours.episodes[0].unstable
            assert np.isfinite(ours.final_observation).all()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_what_follows_from_a_reset_is_there_when_it_is_read():
    read = ("xpos", "actuator_force", "qacc")
    late, early = (Simulation("hopper", "randomized", num_envs=6, seed=3) for _ in range(2))
    for name in read:
        getattr(early, name)
    for simulation in (late, early):
        simulation.reset([1, 4])
        simulation.reset([0, 1])
        for world in (0, 1, 4):
            model = simulation.world_model(world)
            scratch = simulation.world_model(world)
            mujoco.mj_setConst(scratch, mujoco.MjData(scratch))
            for name in ("body_subtreemass", "body_invweight0", "dof_invweight0"):
                np.testing.assert_array_equal(getattr(model, name), getattr(scratch, name))
    for name in read:
        np.testing.assert_array_equal(getattr(late, name), getattr(early, name))
    assert_equal(trajectory(late), trajectory(early))


def test_motion_has_its_closed_form():
    # semi-implicit Euler: v_k = k a h, x_k = a h^2 k (k + 1) / 2 with a = 3 N / 2 kg, h = 4 ms
    simulation = Simulation(SLIDER)
    start = simulation.qpos[0, 0]
    for _ in range(10):
        simulation.step(np.ones((1, 1)))
    k, h, a = 50, 0.004, 1.5
    np.testing.assert_allclose(simulation.qvel[0, 0], k * a * h, rtol=1e-12)
    np.testing.assert_allclose(
        simulation.qpos[0, 0], start + a * h**2 * k * (k + 1) / 2, rtol=1e-12
    )


def test_the_reward_is_the_sum_of_its_terms_and_the_episode_of_its_steps():
    simulation = Simulation(SLIDER)
    rewards = []
    for _ in range(50):
        transition = simulation.step(np.full((1, 1), 0.5))
        place, effort = transition.terms.values()
        np.testing.assert_array_equal(transition.reward, place + effort)
        np.testing.assert_allclose(transition.terms["effort"], -0.025)
        rewards.append(transition.reward[0])
    (episode,) = transition.episodes
    assert (episode.length, episode.truncated, episode.failed) == (50, True, False)
    assert episode.total == pytest.approx(sum(rewards))
    assert episode.terms["effort"] == pytest.approx(-0.025 * 50)


def test_the_final_observation_is_the_old_episodes_last():
    simulation = Simulation(SLIDER)
    for _ in range(50):
        last = simulation.step(np.ones((1, 1)))
    assert last.truncated.all()
    assert last.final_observation[0, 1] == pytest.approx(1.5)  # 1.5 m/s^2 for 1 s
    assert last.observation[0, 1] == 0.0


@pytest.mark.parametrize(("delay", "still_steps"), [(0.0, 0), (0.02, 1), (0.05, 2)])
def test_a_command_acts_after_its_delay(delay, still_steps):
    simulation = Simulation(SLIDER, Domain(actuation=[{"delay": delay}]))
    speeds = [simulation.step(np.ones((1, 1))).observation[0, 1] for _ in range(5)]
    assert [speed == 0 for speed in speeds].count(True) == still_steps
    # after t seconds the force has acted for t - delay, to within one physics step
    assert speeds[-1] == pytest.approx(1.5 * (0.1 - delay), abs=1.5 * 0.004 + 1e-12)


def test_noise_has_its_deviation_and_leaves_the_truth_alone():
    domain = Domain(sensing=[{"noise": {"normal": [0.5, 0.1]}, "of": "place"}])
    noisy, clean = Simulation(SLIDER, domain, num_envs=50), Simulation(SLIDER, num_envs=50)
    errors = []
    for _ in range(49):
        push = np.zeros((50, 1))
        ours, theirs = noisy.step(push), clean.step(push)
        errors.append(ours.observation[:, 0] - theirs.observation[:, 0])
        np.testing.assert_array_equal(ours.observation[:, 1], theirs.observation[:, 1])
        np.testing.assert_array_equal(ours.reward, theirs.reward)
    error = np.array(errors)
    assert error.mean() == pytest.approx(0.5, abs=4 * 0.1 / np.sqrt(error.size))
    assert error.std() == pytest.approx(0.1, rel=0.1)
    lagged = np.corrcoef(error[1:].ravel(), error[:-1].ravel())[0, 1]
    assert abs(lagged) < 0.1


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros((1, 1)), r"must have the shape \(2, 1\), got \(1, 1\)"),
        (np.zeros(2), r"got \(2,\)"),
        (np.array([[0.0], [np.nan]]), "action 0 of world 1 is nan"),
        (np.array([[np.inf], [0.0]]), "action 0 of world 0 is inf"),
    ],
)
def test_bad_actions_are_refused_and_nothing_moves(action, message):
    simulation = Simulation(SLIDER, num_envs=2)
    before = simulation.snapshot()
    with pytest.raises(UserError, match=message):
        simulation.step(action)
    for name, values in simulation.snapshot().items():
        np.testing.assert_array_equal(values, before[name])


def test_bad_arguments_are_refused():
    with pytest.raises(UserError, match="num_envs is 0; allowed: 1 to"):
        Simulation(SLIDER, num_envs=0)
    with pytest.raises(UserError, match="seed is -1; allowed: 0 to"):
        Simulation(SLIDER, seed=-1)
    with pytest.raises(UserError, match="unknown domain"):
        Simulation("hopper", "windy")
    with pytest.raises(UserError, match="unknown actuator"):
        Simulation("hopper", load_domain("ant", "hard"))


def test_a_world_names_what_it_has():
    simulation = Simulation(SLIDER)
    assert simulation.joint("rail").qpos.shape == (1, 1)
    with pytest.raises(AttributeError, match="a world has no 'qposs'"):
        _ = simulation.qposs


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "def observe(self, world): return {'a': world.qpos[:, 0]}",
            r"observe: a must be \(n, k\)",
        ),
        ("def reward(self, world, action): return {'a': action}", r"reward: a must be \(n,\)"),
        ("def failed(self, world): return False", r"failed: failed must be \(n,\)"),
        ("def reward(self, world, action): return {}", "returned no terms"),
        ("units = {'speed': 'm/s', 'plce': 'm'}", "did you mean 'place'"),
        ("control_dt = 0.005", "not a multiple of 0.004 s"),
        ("episode_s = 0.03", "not a multiple of 0.02 s"),
    ],
)
def test_a_task_that_breaks_the_contract_is_reported_how(body, message, tmp_path):
    source = Path(SLIDER).read_text()
    (tmp_path / "mine.py").write_text(source + f"\n    {body}\n")
    (tmp_path / "mine.xml").write_text(Path(SLIDER).with_suffix(".xml").read_text())
    with pytest.raises(UserError, match=message):
        Simulation(str(tmp_path / "mine.py"))
